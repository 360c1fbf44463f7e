package config

import (
	"path/filepath"
	"strings"
)

// namedPath is a path that a key names.
type namedPath struct{ key, path string }

// folders keeps apart what Daybook writes, what it takes files out of and what it only reads, and keys out of all that is handed on: a data folder that is a drop folder as well
// would have its files moved away as events. Paths are compared as they are written, made absolute: symbolic links are not followed.
func (v *validator) folders(c *Config) {
	var apart []namedPath // no two of these may overlap, nor any of them a place that is fed from
	if c.Data != "" {
		apart = append(apart, namedPath{"data", c.Data})
	}
	if path, ok := folderOf(c.Store.URL); ok && !v.urlPending {
		apart = append(apart, namedPath{"store.url", path})
	}
	var fed []namedPath
	for i, d := range c.Service.Drop {
		if d.Path != "" {
			fed = append(fed, namedPath{element("service.drop", i) + ".path", d.Path})
		}
	}
	for i, f := range c.Service.Follow {
		if path, ok := folderOf(f.URL); ok {
			fed = append(fed, namedPath{element("service.follow", i) + ".url", path})
		}
	}
	for i, one := range apart {
		for _, other := range append(apart[i+1:len(apart):len(apart)], fed...) {
			if how := overlap(one.path, other.path); how != "" && !looksSecret(one.path+" "+other.path) {
				v.fault(one.key, "give each a folder of its own, beside the other", "%q %s %s, %q", one.path, how, other.key, other.path)
			}
		}
	}
	for _, file := range []namedPath{
		{"key", c.Key}, {"service.cert_file", c.Service.CertFile}, {"service.key_file", c.Service.KeyFile}, {"store.access_key_file", c.Store.AccessKeyFile},
		{"store.secret_key_file", c.Store.SecretKeyFile}, {"store.session_token_file", c.Store.SessionTokenFile}, {"reading.token_file", c.Reading.TokenFile},
	} {
		for _, other := range append(apart[:len(apart):len(apart)], fed...) {
			if other.key == "data" || file.path == "" {
				continue
			}
			if how := overlap(file.path, other.path); how != "" && how != around && !looksSecret(file.path+" "+other.path) {
				v.fault(file.key, "put it elsewhere: who gets the files of that folder would get it, too", "%q %s %s, %q", file.path, how, other.key, other.path)
			}
		}
	}
}

// How one path overlaps another.
const (
	same   = "is the same as"
	inside = "lies inside"
	around = "holds"
)

// overlap says how one path overlaps another, empty if it does not.
func overlap(one, other string) string {
	a, err1 := filepath.Abs(one)
	b, err2 := filepath.Abs(other)
	switch {
	case err1 != nil || err2 != nil: // there is no working folder: the first use tells
		return ""
	case a == b:
		return same
	case within(a, b):
		return inside
	case within(b, a):
		return around
	}
	return ""
}

// within reports whether an absolute path is below a folder.
func within(path, folder string) bool {
	return strings.HasPrefix(path, strings.TrimSuffix(folder, string(filepath.Separator))+string(filepath.Separator))
}

// folderOf returns the folder that a URL names, if it names one.
func folderOf(url string) (string, bool) {
	if path, ok := strings.CutPrefix(url, "file://"); ok {
		return path, strings.HasPrefix(path, "/")
	}
	return url, url != "" && !strings.Contains(url, "://")
}
