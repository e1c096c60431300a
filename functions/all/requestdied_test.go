package all_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/krosai/telephony/shared/numberrequest"
)

// TestSweepRestartsWhatDied stops the executions of an approved request and of a pending one. The
// sweep gives both new executions, so that the first is assigned and the second reminded.
func TestSweepRestartsWhatDied(t *testing.T) {
	inOffice(t, func(o *office) {
		approved, pending := o.submit("ada"), o.submit("bea")
		o.decide(approved, numberrequest.Decision{Approve: true})
		executions, err := o.history.ListExecutions(o.Context(), &sfn.ListExecutionsInput{StateMachineArn: &o.machine})
		if err != nil {
			o.Fatal(err)
		}
		for _, e := range executions.Executions {
			if _, err := o.history.StopExecution(o.Context(), &sfn.StopExecutionInput{ExecutionArn: e.ExecutionArn}); err != nil {
				o.Fatal(err)
			}
		}
		o.inventory(1)
		for range 4 {
			time.Sleep(48 * time.Hour)
			o.sweep()
		}
		if got := o.is(pending, numberrequest.Pending); got.Reminders == 0 {
			o.Errorf("nobody was reminded of %s in %s", got.ID, time.Since(got.CreatedAt))
		}
		o.is(approved, numberrequest.Assigned)
	})
}
