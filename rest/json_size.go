package rest

// jsonSize is how much a JSON text holds.
type jsonSize struct {
	values  int // nested ones included; 1 more for each object and array that is not empty
	members int // of the outermost object or array
}

// measureJSON counts what decoding a text would make, without decoding it. Of a text that is not JSON it counts the
// same characters, which decoding would not get beyond.
func measureJSON(raw []byte) jsonSize {
	size := jsonSize{values: 1, members: 1}
	depth := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			i = endOfString(raw, i)
		case '{', '[':
			depth++
			size.values++
		case '}', ']':
			depth--
		case ',':
			size.values++
			if depth == 1 {
				size.members++
			}
		}
	}
	return size
}

// endOfString returns where the string that begins at start ends.
func endOfString(raw []byte, start int) int {
	i := start + 1
	for i < len(raw) && raw[i] != '"' {
		if raw[i] == '\\' {
			i++
		}
		i++
	}
	return i
}
