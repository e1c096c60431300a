package gateway

import (
	"encoding/base64"
	"net/http"
	"unicode/utf8"
)

// event is API Gateway's input to a function: payload format 2.0, without the members that no route
// here has (authorizer, stageVariables, a client certificate).
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
type event struct {
	Version               string            `json:"version"`
	RouteKey              string            `json:"routeKey"`
	RawPath               string            `json:"rawPath"`
	RawQueryString        string            `json:"rawQueryString"`
	Cookies               []string          `json:"cookies,omitempty"`
	Headers               map[string]string `json:"headers"`
	QueryStringParameters map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext        requestContext    `json:"requestContext"`
	PathParameters        map[string]string `json:"pathParameters,omitempty"`
	Body                  string            `json:"body,omitempty"`
	IsBase64Encoded       bool              `json:"isBase64Encoded"`
}

type requestContext struct {
	AccountID    string      `json:"accountId"`
	APIID        string      `json:"apiId"`
	DomainName   string      `json:"domainName"`
	DomainPrefix string      `json:"domainPrefix"`
	HTTP         httpContext `json:"http"`
	RequestID    string      `json:"requestId"`
	RouteKey     string      `json:"routeKey"`
	Stage        string      `json:"stage"`
	Time         string      `json:"time"`
	TimeEpoch    int64       `json:"timeEpoch"` // milliseconds
}

type httpContext struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

func (h *handler) eventOf(r *http.Request, key string, parameters map[string]string, body []byte, id string) event {
	now, path, host := h.Now().UTC(), pathOf(r.URL.Path), hostOf(r.Host)
	e := event{
		Version:               "2.0",
		RouteKey:              key,
		RawPath:               path,
		RawQueryString:        r.URL.RawQuery,
		Cookies:               cookiesOf(r),
		Headers:               headersOf(r, now),
		QueryStringParameters: queryOf(r),
		PathParameters:        parameters,
		RequestContext: requestContext{
			AccountID: h.AccountID, APIID: h.APIID, DomainName: host, DomainPrefix: prefixOf(host),
			HTTP: httpContext{
				Method: r.Method, Path: path, Protocol: r.Proto,
				SourceIP: hostOf(r.RemoteAddr), UserAgent: r.UserAgent(),
			},
			RequestID: id, RouteKey: key, Stage: "$default",
			Time: now.Format("02/Jan/2006:15:04:05 -0700"), TimeEpoch: now.UnixMilli(),
		},
	}
	switch {
	case len(body) == 0:
	case isText(r.Header.Get("Content-Type")) && utf8.Valid(body):
		e.Body = string(body)
	default:
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return e
}
