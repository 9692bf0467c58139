package identity

import (
	"errors"
	"maps"
	"regexp"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Profile is what somebody says about himself. It never names an author: [fs.Principal.ID] does.
type Profile struct {
	DisplayName string `json:"display_name,omitempty"`
	Initials    string `json:"initials,omitempty"`
	Color       string `json:"color,omitempty"`
}

// UpdatableFields returns the names of the fields of the identity that their owner may change.
func UpdatableFields() []string { return []string{"color", "display_name", "initials"} }

// color is a CSS colour: a name, digits after "#", or a variable of JupyterLab's.
var color = regexp.MustCompile(`^(#[0-9a-fA-F]{3,8}|[a-zA-Z]{1,32}|var\(--[a-zA-Z0-9-]{1,64}\)|(rgb|rgba|hsl|hsla)\([0-9.,% ]{1,48}\))$`)

// profiles keeps the profiles of principals in a file.
type profiles struct {
	file string // "" = in memory only

	mu   sync.RWMutex // guards byID and the file
	byID map[string]Profile
}

// profilesFile is what the file holds.
type profilesFile struct {
	Version  int                `json:"version"`
	Profiles map[string]Profile `json:"profiles"`
}

func openProfiles(file string) (*profiles, error) {
	p := &profiles{file: file, byID: map[string]Profile{}}
	var stored profilesFile
	if err := readState(file, &stored); err != nil {
		return nil, err
	}
	maps.Copy(p.byID, stored.Profiles)
	return p, nil
}

// apply puts what the profile says into the principal.
func (p *profiles) apply(who *fs.Principal) {
	p.mu.RLock()
	profile, ok := p.byID[who.ID]
	p.mu.RUnlock()
	if !ok {
		return
	}
	set := func(to *string, value string) {
		if value != "" {
			*to = value
		}
	}
	set(&who.DisplayName, profile.DisplayName)
	set(&who.Initials, profile.Initials)
	set(&who.Color, profile.Color)
}

// UpdateProfile changes fields of the caller's profile and returns the principal as it is now. An unknown field or a value that is
// not possible is an error of kind Invalid; then nothing has changed.
func (a *Authenticator) UpdateProfile(c Caller, fields map[string]string) (fs.Principal, error) {
	a.profiles.mu.Lock()
	profile := a.profiles.byID[c.Principal.ID]
	err := profile.update(fields)
	if err == nil {
		next := maps.Clone(a.profiles.byID)
		next[c.Principal.ID] = profile
		if err = writeState(a.profiles.file, profilesFile{Version: stateVersion, Profiles: next}); err == nil {
			a.profiles.byID = next
		}
	}
	a.profiles.mu.Unlock()
	who := c.Principal
	a.profiles.apply(&who)
	return who, err
}

func (p *Profile) update(fields map[string]string) error {
	for name, value := range fields {
		var ok bool
		switch name {
		case "display_name":
			ok, p.DisplayName = isLabel(value, 64), value
		case "initials":
			ok, p.Initials = isLabel(value, 4), value
		case "color":
			ok, p.Color = color.MatchString(value), value
		default:
			return &fs.Error{Op: "profile", Path: ScrubText(name), Kind: fs.Invalid,
				Err: errors.New("Field " + ScrubText(name) + " is not updatable")}
		}
		if !ok {
			return &fs.Error{Op: "profile", Path: name, Kind: fs.Invalid, Err: errors.New("not a possible value of " + name)}
		}
	}
	return nil
}

// isLabel reports whether s is 1 to n printable characters.
func isLabel(s string, n int) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= n
}
