package transport

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// The properties of READY that are known here. Their names are compared without
// regard to case, as ZMTP asks.
//
//	name length 1 | name | value length 4 big-endian | value   …
const (
	propertySocket   = "Socket-Type"
	propertyIdentity = "Identity"
	propertyInstance = "X-Butterfly"

	instanceSize = 8
)

// ready is what a READY command says.
type ready struct {
	socket   string
	instance uint64 // 0: not announced
}

// append appends the command's data. The identity is left empty: listeners make
// up their own.
func (r ready) append(dst []byte) []byte {
	dst = appendProperty(dst, propertySocket, []byte(r.socket))
	dst = appendProperty(dst, propertyIdentity, nil)
	if r.instance != 0 {
		dst = appendProperty(dst, propertyInstance, binary.LittleEndian.AppendUint64(nil, r.instance))
	}
	return dst
}

func appendProperty(dst []byte, name string, value []byte) []byte {
	dst = append(dst, byte(len(name)))
	dst = append(dst, name...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(value)))
	return append(dst, value...)
}

// parseReady reads the command's data. Properties that are not known are
// skipped. It allocates no more than data has bytes.
func parseReady(data []byte) (ready, error) {
	var r ready
	for len(data) > 0 {
		name, value, rest, err := cutProperty(data)
		if err != nil {
			return ready{}, err
		}
		data = rest
		switch {
		case strings.EqualFold(name, propertySocket):
			r.socket = string(value)
		case strings.EqualFold(name, propertyInstance):
			if len(value) != instanceSize {
				return ready{}, &ProtocolError{fmt.Sprintf("READY: %s has %d bytes", propertyInstance, len(value))}
			}
			r.instance = binary.LittleEndian.Uint64(value)
		}
	}
	if r.socket == "" {
		return ready{}, &ProtocolError{"READY: no " + propertySocket}
	}
	return r, nil
}

// cutProperty takes the first property off data.
func cutProperty(data []byte) (name string, value, rest []byte, err error) {
	n := int(data[0])
	data = data[1:]
	if n == 0 || len(data) < n+4 {
		return "", nil, nil, &ProtocolError{"READY: a property's name is cut off or empty"}
	}
	name, data = string(data[:n]), data[n:]
	size := binary.BigEndian.Uint32(data)
	data = data[4:]
	if uint64(size) > uint64(len(data)) {
		return "", nil, nil, &ProtocolError{fmt.Sprintf("READY: the value of %q is cut off", name)}
	}
	return name, data[:size], data[size:], nil
}
