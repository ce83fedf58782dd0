package trace

import (
	"errors"
	"maps"
	"net/url"
	"strconv"
	"strings"
)

// Environment is what OpenTelemetry's own variables say of traces. A program that has settings of its own goes by those
// first.
type Environment struct {
	URL      string // where spans go; "": nowhere
	Headers  map[string]string
	Plain    bool
	Service  string
	Resource map[string]string
	Sample   *float64 // nil: not said
	Alone    bool
	Remarks  []string // what cannot be as a variable says
}

// FromEnvironment reads the variables. What cannot be is remarked upon, never refused: they are often the same for all
// programs of a machine.
// The names and meanings are those of OpenTelemetry's specification of environment variables.
func FromEnvironment(get func(string) string) Environment {
	var e Environment
	e.resource(get)
	e.sampler(get)
	first := func(name string) string {
		if v := get("OTEL_EXPORTER_OTLP_TRACES_" + name); v != "" {
			return v
		}
		return get("OTEL_EXPORTER_OTLP_" + name)
	}
	switch v := first("COMPRESSION"); v {
	case "", "gzip":
	case "none":
		e.Plain = true
	default:
		e.remark("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip and none are known: spans go with gzip")
	}
	var err error
	if e.Headers, err = ParseHeaders(first("HEADERS")); err == nil {
		err = unescaped(e.Headers)
	}
	if err != nil {
		e.Headers = nil
		e.remark("OTEL_EXPORTER_OTLP_HEADERS", err.Error())
	}
	e.place(get, first("PROTOCOL"))
	return e
}

func (e *Environment) remark(name, what string) { e.Remarks = append(e.Remarks, name+": "+what) }

// place says where spans go.
func (e *Environment) place(get func(string) string, protocol string) {
	to := get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if base := get("OTEL_EXPORTER_OTLP_ENDPOINT"); to == "" && base != "" {
		to = strings.TrimSuffix(base, "/") + "/v1/traces"
	}
	if to == "" || strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") {
		return
	}
	switch exporter := get("OTEL_TRACES_EXPORTER"); exporter {
	case "", "otlp":
	case "none":
		return
	default:
		e.remark("OTEL_TRACES_EXPORTER", "otlp and none are known: no traces are sent")
		return
	}
	switch protocol {
	case "", "http/protobuf":
	case "http/json":
		e.remark("OTEL_EXPORTER_OTLP_PROTOCOL", "spans go as http/protobuf, which every collector takes at the same address")
	default:
		e.remark("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf is known, not grpc: no traces are sent; --traces-url names the collector's address for OTLP over HTTP, mostly port 4318")
		return
	}
	e.URL = to
}

// sampler says how much is traced, and whether a caller's decision counts.
func (e *Environment) sampler(get func(string) string) {
	name := get("OTEL_TRACES_SAMPLER")
	kind, parents := strings.CutPrefix(name, "parentbased_")
	share := 1.0
	switch kind {
	case "":
		return
	case "always_on":
	case "always_off":
		share = 0
	case "traceidratio":
		if arg := get("OTEL_TRACES_SAMPLER_ARG"); arg != "" {
			v, err := strconv.ParseFloat(arg, 64)
			if err != nil || !(v >= 0 && v <= 1) {
				e.remark("OTEL_TRACES_SAMPLER_ARG", "must be from 0 to 1")
				return
			}
			share = v
		}
	default:
		e.remark("OTEL_TRACES_SAMPLER", "always_on, always_off, traceidratio and the same with parentbased_ are known")
		return
	}
	e.Sample, e.Alone = &share, !parents
}

// resource says what the program is.
func (e *Environment) resource(get func(string) string) {
	all, err := ParseHeaders(get("OTEL_RESOURCE_ATTRIBUTES")) // of the same form
	if err == nil {
		err = unescaped(all)
	}
	if err != nil {
		e.remark("OTEL_RESOURCE_ATTRIBUTES", "not a list of attributes: key=value, separated by commas")
		all = nil
	}
	e.Resource, e.Service = all, get("OTEL_SERVICE_NAME")
}

// unescaped takes percent signs out of values.
func unescaped(all map[string]string) error {
	for name, value := range maps.Clone(all) {
		plain, err := url.PathUnescape(value)
		if err != nil || strings.ContainsAny(plain, "\r\n") {
			return errors.New("a value has a percent sign that stands for nothing: write %25")
		}
		all[name] = plain
	}
	return nil
}
