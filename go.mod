module github.com/loopwatch/loopwatch

go 1.26.0

require (
	github.com/cilium/ebpf v0.22.0
	github.com/clipperhouse/displaywidth v0.10.0
	github.com/stretchr/testify v1.12.1
	golang.org/x/sys v0.49.0
)

require (
	github.com/clipperhouse/uax29/v2 v2.6.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)

tool github.com/cilium/ebpf/cmd/bpf2go
