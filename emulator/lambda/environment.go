package lambda

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// variables are the environment of the process: what Lambda sets, which the
// function may not, what Lambda sets unless the function does, and the function's own.
func (c Config) variables(runtimeAPI string) ([]string, error) {
	arn := strings.Split(c.ARN, ":")
	if len(arn) != 7 || arn[2] != "lambda" || arn[5] != "function" {
		return nil, fmt.Errorf("%q is not the ARN of a function", c.ARN)
	}
	region, name := arn[3], arn[6]
	root, err := filepath.Abs(filepath.Dir(c.Binary))
	if err != nil {
		return nil, err
	}
	reserved := map[string]string{
		"_HANDLER":                        "bootstrap",
		"AWS_REGION":                      region,
		"AWS_DEFAULT_REGION":              region,
		"AWS_ACCESS_KEY_ID":               "emulator",
		"AWS_SECRET_ACCESS_KEY":           "emulator",
		"AWS_SESSION_TOKEN":               "emulator",
		"AWS_LAMBDA_RUNTIME_API":          runtimeAPI,
		"AWS_LAMBDA_FUNCTION_NAME":        name,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(c.MemoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + name,
		"AWS_LAMBDA_LOG_STREAM_NAME":      "emulator",
		"LAMBDA_TASK_ROOT":                root,
		"LAMBDA_RUNTIME_DIR":              "/var/runtime",
	}
	all := map[string]string{
		"PATH":            "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"LD_LIBRARY_PATH": "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
		"LANG":            "en_US.UTF-8",
		"TZ":              ":UTC",
	}
	maps.Copy(all, c.Environment)
	for name := range c.Environment {
		if _, taken := reserved[name]; taken || strings.HasPrefix(name, "AWS_LAMBDA_") || name == "_X_AMZN_TRACE_ID" {
			return nil, fmt.Errorf("%s is reserved: Lambda sets it, a function's configuration cannot", name)
		}
	}
	maps.Copy(all, reserved)
	variables := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		variables = append(variables, name+"="+all[name])
	}
	return variables, nil
}
