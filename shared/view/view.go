// Package view defines how the API shows the platform's things: the JSON of its answers.
package view
