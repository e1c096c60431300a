package livekitd

// Leftovers lists functions whose goroutines livekit-server v1.13.5 leaves behind after Close,
// because its Stop does not stop everything that its constructors start. Each goroutine is
// idle (its Redis is gone) and costs a few kilobytes. Tests that check for leaks pass the list
// to goleak.IgnoreAnyFunction.
func Leftovers() []string {
	return []string{
		"github.com/gammazero/workerpool.(*WorkerPool).dispatch",                            // agent client: pool never stopped
		"github.com/gammazero/workerpool.worker",                                            // its workers
		"github.com/jellydator/ttlcache/v3.(*Cache[...]).Start",                             // ICE configuration cache
		"github.com/livekit/livekit-server/pkg/agent.(*agentClient).checkEnabled",           // agent client has no Close
		"github.com/livekit/livekit-server/pkg/agent.NewAgentClient.func1",                  // the same
		"github.com/livekit/livekit-server/pkg/agent.(*agentClient).LaunchJob",              // waits for an answer from its own client
		"github.com/livekit/livekit-server/pkg/rtc.(*ParticipantImpl).subscriberRTCPWorker", // sleeps, then sees that the participant is gone
		"github.com/livekit/livekit-server/pkg/rtc.(*Room).simulationCleanupWorker",         // sleeps, then sees that the room is closed
		"github.com/livekit/livekit-server/pkg/rtc.(*Room).connectionQualityWorker",         // ends at its next tick
		"github.com/livekit/livekit-server/pkg/service.(*RedisStore).egressWorker",          // store is started, never stopped
		"github.com/livekit/livekit-server/pkg/service.(*WSSignalConnection).pingWorker",    // ends at its next ping
		"github.com/livekit/livekit-server/pkg/sfu/streamallocator.(*StreamAllocator).ping", // ends at its next tick
		"github.com/livekit/livekit-server/pkg/telemetry.(*telemetryService).run",           // telemetry has no Stop
		"github.com/livekit/livekit-server/pkg/utils.(*opsQueueBase[...]).process",          // its queue
		"github.com/livekit/protocol/utils/hwstats.(*CPUStats).monitorCPULoad",              // one per process
		"github.com/livekit/protocol/webhook.(*ResourceURLNotifier).sweeper",                // webhook notifier is not stopped
		"github.com/livekit/protocol/webhook.(*resourceQueue).worker",                       // the same
		"github.com/livekit/psrpc/internal/bus.(*redisMessageBus).readWorker",               // the message bus is never closed
		"github.com/livekit/psrpc/internal/bus.(*redisMessageBus).writeWorker",              // nor its connections
		"github.com/livekit/psrpc/internal/bus.(*redisPublishQueue).worker",                 // nor its queues
		"github.com/livekit/psrpc/internal/bus.(*redisSubscription).read",                   // nor its subscriptions
		"github.com/livekit/psrpc/pkg/client.(*multiRPC[...]).handleResponses",              // RPC clients are never closed
		"github.com/livekit/psrpc/pkg/client.NewRPCClient.func1",                            // the same
		"github.com/livekit/psrpc/pkg/server.(*rpcHandlerImpl[...]).run.func1",              // nor are some RPC servers
	}
}
