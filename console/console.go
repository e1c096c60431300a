// Package console holds the files of the web console as they are served. functions/console serves
// them under /console/.
package console

import "embed"

// Files are the files of the console. Their browser tests (console/test) are not among them.
//
//go:embed index.html app.js style.css core pages parts vendor
var Files embed.FS
