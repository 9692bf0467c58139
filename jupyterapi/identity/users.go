package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"regexp"
	"sync"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Issuer is the first part of the ids of principals that tokens name: "local:ada".
const Issuer = "local"

// maxToken is the longest token that is looked at, in bytes.
const maxToken = 1024

// userName is what a user may be called: the name becomes part of file names and log lines.
var userName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$`)

// User is somebody with a token. A person may have several tokens: users with the same name are one principal.
type User struct {
	Name        string   // 1 to 64 of letters, digits and . _ @ + -
	TokenSHA256 [32]byte // SHA-256 of the token's bytes
	Owner       bool     // the daemon runs as this person
	DisplayName string   // "" = Name
}

// principal returns who the user is to the rest of the daemon.
func (u User) principal() fs.Principal {
	display := u.DisplayName
	if display == "" {
		display = u.Name
	}
	return fs.Principal{ID: Issuer + ":" + u.Name, Name: u.Name, DisplayName: display, Owner: u.Owner}
}

// Users is the set of people who have a token.
type Users struct {
	mu      sync.RWMutex // guards all below
	list    []User
	changed chan struct{} // closed at the next Replace
}

// NewUsers returns a set of these users. See [Users.Replace] for the errors.
func NewUsers(list ...User) (*Users, error) {
	u := &Users{changed: make(chan struct{})}
	if err := u.Replace(list...); err != nil {
		return nil, err
	}
	return u, nil
}

// Replace makes list the whole set and wakes everybody who waits for [Users.Changed]. A bad name, the hash of an empty token, or one
// token for two names is an error of kind Invalid; then nothing has changed.
func (u *Users) Replace(list ...User) error {
	names := map[[32]byte]string{}
	for _, user := range list {
		if err := checkUser(user, names); err != nil {
			return err
		}
		names[user.TokenSHA256] = user.Name
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = append([]User(nil), list...)
	close(u.changed)
	u.changed = make(chan struct{})
	return nil
}

func checkUser(user User, names map[[32]byte]string) error {
	invalid := func(reason, hint string) error {
		return &fs.Error{Op: "user", Path: user.Name, Kind: fs.Invalid, Err: errors.New(reason), Hint: hint}
	}
	switch {
	case !userName.MatchString(user.Name):
		return invalid("a user's name has 1 to 64 letters, digits and . _ @ + -", `choose a name such as "ada"`)
	case user.TokenSHA256 == [32]byte{} || user.TokenSHA256 == sha256.Sum256(nil):
		return invalid("the token is empty", "make one with: jupyter-drive user add "+user.Name)
	}
	if other, taken := names[user.TokenSHA256]; taken && other != user.Name {
		return invalid("the token belongs to "+other+" already", "make one with: jupyter-drive user add "+user.Name)
	}
	return nil
}

// Changed returns a channel that is closed at the next Replace.
func (u *Users) Changed() <-chan struct{} {
	u.mu.RLock()
	defer u.mu.RUnlock()
	return u.changed
}

// find returns the user with that token. It looks at all of them in constant time for each.
func (u *Users) find(token string) (User, bool) {
	if token == "" || len(token) > maxToken {
		return User{}, false
	}
	return u.findHash(sha256.Sum256([]byte(token)))
}

// findHash returns the user whose token has that hash.
func (u *Users) findHash(sum [32]byte) (found User, ok bool) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	for _, user := range u.list {
		if subtle.ConstantTimeCompare(user.TokenSHA256[:], sum[:]) == 1 {
			found, ok = user, true
		}
	}
	return found, ok
}
