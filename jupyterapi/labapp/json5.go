package labapp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/titanous/json5"
)

// maxBrackets bounds the opening brackets of a JSON5 document, and with them how deep it can nest: the parser is recursive.
const maxBrackets = 20000

// parseJSON5Object parses a JSON5 document, such as settings with comments and trailing commas, that must be an object.
// Values that JSON cannot express (Infinity, NaN) are errors.
func parseJSON5Object(data []byte) (map[string]any, error) {
	if bytes.Count(data, []byte("{"))+bytes.Count(data, []byte("[")) > maxBrackets {
		return nil, fmt.Errorf("more than %d brackets", maxBrackets)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var doc map[string]any
	if err := json5.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if doc == nil {
		return nil, errors.New("want an object, got null")
	}
	if _, err := json.Marshal(doc); err != nil {
		return nil, err
	}
	return doc, nil
}

// member is a key and its value in a JSON object.
type member struct {
	key   string
	value json.RawMessage
}

// object is a JSON object that keeps the order of its keys: the settings editor shows properties in the order of the schema.
type object []member

// UnmarshalJSON implements [json.Unmarshaler].
func (o *object) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return errors.Join(errors.New("want a JSON object"), err)
	}
	*o = (*o)[:0]
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		o.set(key.(string), value) // the decoder gives no other keys
	}
	return nil
}

// MarshalJSON implements [json.Marshaler].
func (o object) MarshalJSON() ([]byte, error) {
	buf := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			buf = append(buf, ',')
		}
		key, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		buf = append(append(append(buf, key...), ':'), m.value...)
	}
	return append(buf, '}'), nil
}

// get returns the value of key, nil when there is none.
func (o object) get(key string) json.RawMessage {
	for _, m := range o {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

// set replaces the value of key in its place, or appends it.
func (o *object) set(key string, value json.RawMessage) {
	for i, m := range *o {
		if m.key == key {
			(*o)[i].value = value
			return
		}
	}
	*o = append(*o, member{key, value})
}
