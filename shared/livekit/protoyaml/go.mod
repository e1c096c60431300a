module buf.build/go/protoyaml

go 1.26.8

require (
	google.golang.org/protobuf v1.36.11
	gopkg.in/yaml.v3 v3.0.1
)
