// Package all is the table of every function. The laptop platform, the OpenAPI document and tests
// use it. A Lambda never does, because the table links everything.
package all

import (
	"crypto/rand"
	"log/slog"
	"net"
	"time"

	files "github.com/krosai/telephony/console"
	"github.com/krosai/telephony/functions/addnumber"
	"github.com/krosai/telephony/functions/addtranscript"
	"github.com/krosai/telephony/functions/approverequest"
	"github.com/krosai/telephony/functions/assignnumber"
	"github.com/krosai/telephony/functions/awaitcall"
	"github.com/krosai/telephony/functions/awaitrequest"
	"github.com/krosai/telephony/functions/console"
	"github.com/krosai/telephony/functions/createcall"
	"github.com/krosai/telephony/functions/createkey"
	"github.com/krosai/telephony/functions/createwebhook"
	"github.com/krosai/telephony/functions/deleteconfiguration"
	"github.com/krosai/telephony/functions/deletewebhook"
	"github.com/krosai/telephony/functions/deliverwebhook"
	"github.com/krosai/telephony/functions/dialcall"
	"github.com/krosai/telephony/functions/expirerequest"
	"github.com/krosai/telephony/functions/finishcall"
	"github.com/krosai/telephony/functions/getcall"
	"github.com/krosai/telephony/functions/getcallstats"
	"github.com/krosai/telephony/functions/getconfiguration"
	"github.com/krosai/telephony/functions/getpolicy"
	"github.com/krosai/telephony/functions/getrequest"
	"github.com/krosai/telephony/functions/getswitch"
	"github.com/krosai/telephony/functions/givenumber"
	"github.com/krosai/telephony/functions/hangupanycall"
	"github.com/krosai/telephony/functions/hangupcall"
	"github.com/krosai/telephony/functions/health"
	"github.com/krosai/telephony/functions/importnumbers"
	"github.com/krosai/telephony/functions/listallcalls"
	"github.com/krosai/telephony/functions/listallrequests"
	"github.com/krosai/telephony/functions/listaudit"
	"github.com/krosai/telephony/functions/listcallevents"
	"github.com/krosai/telephony/functions/listcalls"
	"github.com/krosai/telephony/functions/listdeliveries"
	"github.com/krosai/telephony/functions/listevents"
	"github.com/krosai/telephony/functions/listinventory"
	"github.com/krosai/telephony/functions/listkeys"
	"github.com/krosai/telephony/functions/listnumbers"
	"github.com/krosai/telephony/functions/listrequests"
	"github.com/krosai/telephony/functions/listuserkeys"
	"github.com/krosai/telephony/functions/listusers"
	"github.com/krosai/telephony/functions/listwebhooks"
	"github.com/krosai/telephony/functions/livekitwebhook"
	"github.com/krosai/telephony/functions/notifyrequest"
	"github.com/krosai/telephony/functions/preparecall"
	"github.com/krosai/telephony/functions/rejectrequest"
	"github.com/krosai/telephony/functions/releasenumber"
	"github.com/krosai/telephony/functions/replaydelivery"
	"github.com/krosai/telephony/functions/requestnumber"
	"github.com/krosai/telephony/functions/resumecall"
	"github.com/krosai/telephony/functions/retirenumber"
	"github.com/krosai/telephony/functions/revokekey"
	"github.com/krosai/telephony/functions/revokeuserkey"
	"github.com/krosai/telephony/functions/rotatekey"
	"github.com/krosai/telephony/functions/rotatewebhooksecret"
	"github.com/krosai/telephony/functions/sendevents"
	"github.com/krosai/telephony/functions/setconfiguration"
	"github.com/krosai/telephony/functions/setpolicy"
	"github.com/krosai/telephony/functions/setswitch"
	"github.com/krosai/telephony/functions/summarizecall"
	"github.com/krosai/telephony/functions/sweepcalls"
	"github.com/krosai/telephony/functions/sweepnumbers"
	"github.com/krosai/telephony/functions/testwebhook"
	"github.com/krosai/telephony/functions/transfercall"
	"github.com/krosai/telephony/functions/updatewebhook"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call/inbound"
	"github.com/krosai/telephony/shared/call/summary"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/numberconfig"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/teardown"
	"github.com/krosai/telephony/shared/validate/carrier"
	"github.com/krosai/telephony/shared/webhook/queue"
	"github.com/krosai/telephony/shared/workflow"
)

// Deps holds what the functions work with.
type Deps struct {
	DB            *store.DB
	LiveKit       *livekit.Client
	Flow          *workflow.Client
	Queue         *queue.Client      // of deliveries
	Agents        preparecall.Agents // what the calls' agents are told
	Summary       *summary.Summarizer
	Now           func() time.Time
	Log           *slog.Logger
	Version       string
	AllowLoopback bool // trunks and webhooks may point at this machine: for the laptop

	Resolver   carrier.Resolver // of trunks' addresses
	Carrier    carrier.Config
	Console    console.Config // what the console signs in with
	DialPlaces int            // how many phones may ring at a time; 0 means unknown
}

func (d Deps) ender() *teardown.Ender {
	return &teardown.Ender{Calls: d.DB, Rooms: d.LiveKit, Now: d.Now}
}

func (d Deps) adopter() *inbound.Adopter {
	return &inbound.Adopter{Numbers: d.DB, Calls: d.DB, Rooms: d.LiveKit, Flow: d.Flow}
}

func (d Deps) carriers() *carrier.Checker {
	config := d.Carrier
	config.AllowLoopback = d.AllowLoopback
	return &carrier.Checker{Config: config, Resolver: d.Resolver}
}

func (d Deps) configurer() *numberconfig.Configurer {
	return &numberconfig.Configurer{Numbers: d.DB, LiveKit: d.LiveKit, Now: d.Now}
}

// HTTP returns every function of the API by the name of its folder. Their routes are the operations
// of openapi.json.
func HTTP(d Deps) map[string]api.Endpoint {
	return map[string]api.Endpoint{
		"addnumber":           &addnumber.Endpoint{Numbers: d.DB, Requests: d.DB, Flow: d.Flow, Now: d.Now, Log: d.Log},
		"addtranscript":       &addtranscript.Endpoint{Calls: d.DB, TokenKey: d.Agents.TokenKey, Now: d.Now},
		"approverequest":      &approverequest.Endpoint{Requests: d.DB, Numbers: d.DB, Flow: d.Flow, Now: d.Now, Log: d.Log},
		"createcall":          &createcall.Endpoint{Calls: d.DB, Numbers: d.DB, Flow: d.Flow, Now: d.Now, Places: d.DialPlaces},
		"createkey":           &createkey.Endpoint{Keys: d.DB, Now: d.Now, Random: rand.Reader},
		"createwebhook":       &createwebhook.Endpoint{Endpoints: d.DB, Resolver: net.DefaultResolver, Now: d.Now, Random: rand.Reader, AllowLoopback: d.AllowLoopback},
		"deleteconfiguration": &deleteconfiguration.Endpoint{Configurer: d.configurer()},
		"deletewebhook":       &deletewebhook.Endpoint{Endpoints: d.DB},
		"getcall":             &getcall.Endpoint{Calls: d.DB, Now: d.Now},
		"getcallstats":        &getcallstats.Endpoint{Stats: d.DB, Now: d.Now},
		"getconfiguration":    &getconfiguration.Endpoint{Numbers: d.DB},
		"getpolicy":           &getpolicy.Endpoint{Policies: d.DB},
		"getrequest":          &getrequest.Endpoint{Requests: d.DB},
		"getswitch":           &getswitch.Endpoint{Switch: d.DB},
		"givenumber":          &givenumber.Endpoint{Numbers: d.DB},
		"hangupanycall":       &hangupanycall.Endpoint{Calls: d.DB, Teardown: d.ender(), Now: d.Now},
		"hangupcall":          &hangupcall.Endpoint{Calls: d.DB, Teardown: d.ender(), Now: d.Now},
		"health":              &health.Endpoint{Version: d.Version},
		"importnumbers":       &importnumbers.Endpoint{Numbers: d.DB, Requests: d.DB, Flow: d.Flow, Now: d.Now, Log: d.Log},
		"listallcalls":        &listallcalls.Endpoint{Calls: d.DB},
		"listallrequests":     &listallrequests.Endpoint{Requests: d.DB},
		"listaudit":           &listaudit.Endpoint{Entries: d.DB},
		"listcallevents":      &listcallevents.Endpoint{Calls: d.DB, Now: d.Now},
		"listcalls":           &listcalls.Endpoint{Calls: d.DB},
		"listdeliveries":      &listdeliveries.Endpoint{Deliveries: d.DB},
		"listevents":          &listevents.Endpoint{Events: d.DB, Now: d.Now},
		"listinventory":       &listinventory.Endpoint{Numbers: d.DB},
		"listkeys":            &listkeys.Endpoint{Keys: d.DB},
		"listnumbers":         &listnumbers.Endpoint{Numbers: d.DB},
		"listrequests":        &listrequests.Endpoint{Requests: d.DB},
		"listuserkeys":        &listuserkeys.Endpoint{Keys: d.DB},
		"listusers":           &listusers.Endpoint{Users: d.DB},
		"listwebhooks":        &listwebhooks.Endpoint{Endpoints: d.DB},
		"livekitwebhook":      &livekitwebhook.Endpoint{LiveKit: d.LiveKit, Inbound: d.adopter(), Teardown: d.ender(), Now: d.Now},
		"rejectrequest":       &rejectrequest.Endpoint{Requests: d.DB, Flow: d.Flow, Now: d.Now, Log: d.Log},
		"releasenumber":       &releasenumber.Endpoint{Numbers: d.DB, Configurer: d.configurer(), Requests: d.DB, Flow: d.Flow, Log: d.Log},
		"replaydelivery":      &replaydelivery.Endpoint{Deliveries: d.DB, Queue: d.Queue, Now: d.Now},
		"requestnumber":       &requestnumber.Endpoint{Requests: d.DB, Flow: d.Flow, Now: d.Now, Log: d.Log},
		"retirenumber":        &retirenumber.Endpoint{Numbers: d.DB},
		"revokekey":           &revokekey.Endpoint{Keys: d.DB},
		"revokeuserkey":       &revokeuserkey.Endpoint{Keys: d.DB},
		"rotatekey":           &rotatekey.Endpoint{Keys: d.DB, Now: d.Now, Random: rand.Reader},
		"rotatewebhooksecret": &rotatewebhooksecret.Endpoint{Endpoints: d.DB, Now: d.Now, Random: rand.Reader},
		"setconfiguration":    &setconfiguration.Endpoint{Numbers: d.DB, Limits: d.DB, Configurer: d.configurer(), Carriers: d.carriers(), Now: d.Now, AllowLoopback: d.AllowLoopback},
		"setpolicy":           &setpolicy.Endpoint{Policies: d.DB},
		"setswitch":           &setswitch.Endpoint{Switch: d.DB},
		"testwebhook":         &testwebhook.Endpoint{Endpoints: d.DB, Queue: d.Queue, Now: d.Now},
		"transfercall":        &transfercall.Endpoint{Calls: d.DB, Phone: d.LiveKit, Teardown: d.ender(), Now: d.Now, Log: d.Log},
		"updatewebhook":       &updatewebhook.Endpoint{Endpoints: d.DB, Resolver: net.DefaultResolver, AllowLoopback: d.AllowLoopback},
	}
}

// Tasks returns every other function by the name of its folder, as lambda.Start takes it. One of
// them, console, has routes too, but they are pages and no operations of the API.
func Tasks(d Deps) map[string]any {
	s := d.ender()
	return map[string]any{
		"assignnumber":   (&assignnumber.Task{Requests: d.DB, Log: d.Log}).Run,
		"awaitcall":      (&awaitcall.Task{Calls: d.DB, Teardown: s, Flow: d.Flow, Now: d.Now, Log: d.Log}).Run,
		"awaitrequest":   (&awaitrequest.Task{Requests: d.DB, Flow: d.Flow}).Run,
		"console":        (&console.Task{Config: d.Console, Files: files.Files}).Run,
		"deliverwebhook": (&deliverwebhook.Task{Webhooks: d.DB, Queue: d.Queue, Client: deliverwebhook.NewClient(nil, d.AllowLoopback), Now: d.Now, Log: d.Log}).Run,
		"dialcall":       (&dialcall.Task{Calls: d.DB, Phone: d.LiveKit, Carriers: d.carriers(), Teardown: s, Now: d.Now, Log: d.Log}).Run,
		"expirerequest":  (&expirerequest.Task{Requests: d.DB, Now: d.Now, Log: d.Log}).Run,
		"finishcall":     (&finishcall.Task{Teardown: s, Now: d.Now}).Run,
		"notifyrequest":  (&notifyrequest.Task{Requests: d.DB, Now: d.Now, Log: d.Log}).Run,
		"preparecall":    (&preparecall.Task{Calls: d.DB, Rooms: d.LiveKit, Teardown: s, Agents: d.Agents, Now: d.Now}).Run,
		"resumecall":     (&resumecall.Task{Calls: d.DB, Flow: d.Flow, Log: d.Log}).Run,
		"sendevents":     (&sendevents.Task{Endpoints: d.DB, Queue: d.Queue, Log: d.Log}).Run,
		"summarizecall":  (&summarizecall.Task{Details: d.DB, Summarizer: d.Summary, Now: d.Now, Log: d.Log}).Run,
		"sweepcalls":     (&sweepcalls.Task{Calls: d.DB, Rooms: d.LiveKit, Flow: d.Flow, Inbound: d.adopter(), Teardown: s, Now: d.Now, Log: d.Log}).Run,
		"sweepnumbers":   (&sweepnumbers.Task{Requests: d.DB, Numbers: d.DB, Flow: d.Flow, Now: d.Now, Log: d.Log}).Run,
	}
}
