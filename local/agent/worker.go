package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/proto"
)

const (
	pingEvery = 10 * time.Second
	// A server is considered gone if it sends nothing for longer than this, pongs included.
	serverTimeout = 25 * time.Second
	settle        = 50 * time.Millisecond  // for the registration to travel LiveKit's message bus
	firstWait     = 200 * time.Millisecond // before the first reconnection; doubles up to maxWait
	maxWait       = 5 * time.Second
)

// errRefused means that LiveKit does not accept the key, so another attempt is useless.
var errRefused = errors.New("refused by LiveKit")

// worker takes jobs for one agent name.
type worker struct {
	agent      *Agent
	name       string
	stop       context.CancelFunc
	registered chan struct{} // closed at the first registration
	once       sync.Once
	refused    chan struct{} // closed if LiveKit refuses the key before the first registration

	mu   sync.Mutex // guards the rest, and writing to conn
	conn *websocket.Conn
	err  error
	jobs map[string]context.CancelFunc
}

func (w *worker) lastError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// run keeps the worker registered until ctx ends.
func (w *worker) run(ctx context.Context) {
	defer w.stop()
	for wait := firstWait; ctx.Err() == nil; wait = min(2*wait, maxWait) {
		began := time.Now()
		err := w.serve(ctx)
		w.mu.Lock()
		w.err = err
		w.mu.Unlock()
		if errors.Is(err, errRefused) && !w.known() {
			close(w.refused)
			return
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > maxWait {
			wait = firstWait
		}
		w.agent.log.Info("agent worker disconnected", "agent", w.name, "again_in", wait, "error", err)
		sleep(ctx, wait)
	}
}

// known reports whether LiveKit has registered this worker before.
func (w *worker) known() bool {
	select {
	case <-w.registered:
		return true
	default:
		return false
	}
}

// serve connects, registers and takes jobs until the connection breaks or ctx ends.
func (w *worker) serve(ctx context.Context) error {
	conn, err := w.dial(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.conn = conn
	w.mu.Unlock()
	stopped := make(chan struct{})
	var helpers sync.WaitGroup
	helpers.Go(func() { w.ping(ctx, stopped) })
	helpers.Go(func() {
		select {
		case <-ctx.Done():
		case <-stopped:
		}
		conn.Close() // ends ReadMessage
	})
	defer helpers.Wait()
	defer close(stopped)

	w.send(&livekit.WorkerMessage{Message: &livekit.WorkerMessage_Register{Register: &livekit.RegisterWorkerRequest{
		Type: livekit.JobType_JT_ROOM, AgentName: w.name, Version: "1",
		AllowedPermissions: &livekit.ParticipantPermission{
			CanPublish: true, CanSubscribe: true, CanPublishData: true, CanUpdateMetadata: true,
		},
	}}})
	for {
		if err := conn.SetReadDeadline(time.Now().Add(serverTimeout)); err != nil {
			return err
		}
		_, data, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		var msg livekit.ServerMessage
		if err := proto.Unmarshal(data, &msg); err != nil {
			return fmt.Errorf("message from LiveKit: %w", err)
		}
		w.handle(&msg)
	}
}

func (w *worker) dial(ctx context.Context) (*websocket.Conn, error) {
	token, err := auth.NewAccessToken(w.agent.opts.APIKey, w.agent.opts.APISecret).
		SetVideoGrant(&auth.VideoGrant{Agent: true}).SetValidFor(time.Minute).ToJWT()
	if err != nil {
		return nil, err
	}
	url := w.agent.opts.URL
	if rest, ok := strings.CutPrefix(url, "http"); ok {
		url = "ws" + rest
	}
	dialer := websocket.Dialer{HandshakeTimeout: 5 * time.Second, Proxy: http.ProxyFromEnvironment}
	conn, res, err := dialer.DialContext(ctx, strings.TrimSuffix(url, "/")+"/agent?protocol=1",
		http.Header{"Authorization": {"Bearer " + token}})
	if res != nil && (res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden) {
		return nil, fmt.Errorf("%w: %s", errRefused, res.Status)
	}
	return conn, err
}

// ping sends pings, so that both ends see that the connection is alive.
func (w *worker) ping(ctx context.Context, stopped <-chan struct{}) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.sendPing()
		case <-stopped:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (w *worker) sendPing() {
	w.send(&livekit.WorkerMessage{Message: &livekit.WorkerMessage_Ping{
		Ping: &livekit.WorkerPing{Timestamp: time.Now().UnixMilli()},
	}})
}

// send writes to the current connection. A failure shows at the next read.
func (w *worker) send(msg *livekit.WorkerMessage) {
	data, err := proto.Marshal(msg)
	if err != nil {
		w.agent.log.Error("worker message", "error", err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	err = w.conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
	if err == nil {
		err = w.conn.WriteMessage(websocket.BinaryMessage, data)
	}
	if err != nil {
		w.agent.log.Debug("worker message not sent", "agent", w.name, "error", err)
	}
}

func (w *worker) handle(msg *livekit.ServerMessage) {
	switch m := msg.Message.(type) {
	case *livekit.ServerMessage_Register:
		w.agent.log.Info("agent worker registered", "agent", w.name, "worker_id", m.Register.GetWorkerId())
		w.sendPing()
	case *livekit.ServerMessage_Pong:
		// LiveKit confirms a registration before it listens for the worker's jobs, and drops the
		// jobs that arrive in between. It answers pings only afterwards
		// (service.AgentHandler.HandleConnection).
		time.AfterFunc(settle, func() { w.once.Do(func() { close(w.registered) }) })
	case *livekit.ServerMessage_Availability:
		job := m.Availability.GetJob()
		w.send(&livekit.WorkerMessage{Message: &livekit.WorkerMessage_Availability{
			Availability: &livekit.AvailabilityResponse{
				JobId: job.GetId(), Available: true,
				ParticipantIdentity: "agent-" + job.GetId(), ParticipantName: w.name,
			},
		}})
	case *livekit.ServerMessage_Assignment:
		w.start(m.Assignment)
	case *livekit.ServerMessage_Termination:
		w.mu.Lock()
		if cancel := w.jobs[m.Termination.GetJobId()]; cancel != nil {
			cancel()
		}
		w.mu.Unlock()
	}
}

// start runs a job independently of the worker, so that the job survives a broken
// worker connection.
func (w *worker) start(assignment *livekit.JobAssignment) {
	job := assignment.GetJob()
	ctx, cancel := context.WithCancel(w.agent.ctx)
	w.mu.Lock()
	w.jobs[job.GetId()] = cancel
	w.mu.Unlock()
	w.agent.jobs.Add(1)
	w.agent.running.Go(func() {
		defer cancel()
		w.update(job, livekit.JobStatus_JS_RUNNING, nil)
		if w.agent.opts.OnJob != nil {
			w.agent.opts.OnJob(job.GetRoom().GetName())
		}
		err := w.agent.work(ctx, assignment)
		status := livekit.JobStatus_JS_SUCCESS
		if err != nil {
			status = livekit.JobStatus_JS_FAILED
			w.agent.log.Error("agent job failed", "job_id", job.GetId(), "error", err)
		}
		w.mu.Lock()
		delete(w.jobs, job.GetId())
		w.mu.Unlock()
		w.agent.jobs.Add(-1)
		w.update(job, status, err)
	})
}

func (w *worker) update(job *livekit.Job, status livekit.JobStatus, failure error) {
	u := &livekit.UpdateJobStatus{JobId: job.GetId(), Status: status}
	if failure != nil {
		u.Error = failure.Error()
	}
	w.send(&livekit.WorkerMessage{Message: &livekit.WorkerMessage_UpdateJob{UpdateJob: u}})
}

// sleep waits for d, or returns early if ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
