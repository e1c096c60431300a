package agent

import (
	"crypto/rand"
	"time"

	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
)

// dataPacket is a packet for LiveKit's data channel.
type dataPacket struct{ packet *livekit.DataPacket }

func (d dataPacket) ToProto() *livekit.DataPacket { return d.packet }

// textStream returns the packets that send a text of at most 15 kB as a LiveKit text stream
// (livekit_models.proto, DataStream). The SDK's SendText (v2.18.1) cannot be used: if the agent
// leaves a room while SendText waits for the data channel, the room never closes, because
// SendText's writer holds the lock that closing needs.
func textStream(text, topic string, attributes map[string]string) []lksdk.DataPacket {
	id, size := rand.Text(), uint64(len(text))
	return []lksdk.DataPacket{
		dataPacket{&livekit.DataPacket{Value: &livekit.DataPacket_StreamHeader{StreamHeader: &livekit.DataStream_Header{
			StreamId: id, MimeType: "text/plain", Topic: topic, Timestamp: time.Now().UnixMilli(), TotalLength: &size,
			Attributes: attributes, ContentHeader: &livekit.DataStream_Header_TextHeader{
				TextHeader: &livekit.DataStream_TextHeader{OperationType: livekit.DataStream_CREATE},
			},
		}}}},
		dataPacket{&livekit.DataPacket{Value: &livekit.DataPacket_StreamChunk{
			StreamChunk: &livekit.DataStream_Chunk{StreamId: id, Content: []byte(text)},
		}}},
		dataPacket{&livekit.DataPacket{Value: &livekit.DataPacket_StreamTrailer{
			StreamTrailer: &livekit.DataStream_Trailer{StreamId: id},
		}}},
	}
}
