package s3_test

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// list answers a listing: of versions, or of objects by the second version of that call.
func (b *fakeBucket) list(w http.ResponseWriter, q url.Values) {
	type entry struct {
		XMLName                      xml.Name
		Key, VersionId, LastModified string // as S3 spells it
		IsLatest                     bool
		Size                         int
	}
	var result struct {
		XMLName                                                   xml.Name
		EncodingType                                              string
		NextContinuationToken, NextKeyMarker, NextVersionIdMarker string `xml:",omitempty"`
		IsTruncated                                               bool
		Entries                                                   []entry
	}
	versions := q.Has("versions")
	result.XMLName.Local, result.EncodingType = "ListBucketResult", "url"
	if versions {
		result.XMLName.Local = "ListVersionsResult"
	}
	after, afterVersion := max(q.Get("start-after"), q.Get("continuation-token")), ""
	if versions {
		after, afterVersion = q.Get("key-marker"), q.Get("version-id-marker")
	}
	keys := slices.Sorted(maps.Keys(b.objects))
	start, found := slices.BinarySearch(keys, after)
	if b.disorderly {
		slices.Reverse(keys)
		start, found = max(slices.Index(keys, after), 0), after != ""
	}
	if found && afterVersion == "" {
		start++
	}
	met := afterVersion == ""
	for _, key := range keys[start:] {
		if !strings.HasPrefix(key, q.Get("prefix")) {
			continue
		}
		met = met || key != after
		latest := true
		for _, v := range slices.Backward(b.objects[key]) {
			e := entry{Key: url.QueryEscape(key), VersionId: v.id, LastModified: v.modified.Format("2006-01-02T15:04:05.000Z"), IsLatest: latest, Size: len(v.body)}
			switch e.XMLName.Local = "Version"; {
			case !versions:
				e.XMLName.Local, e.VersionId = "Contents", ""
			case v.marker:
				e.XMLName.Local = "DeleteMarker"
			}
			take := met && (versions || latest && !v.marker)
			if v.id == afterVersion {
				met = true
				take = b.repeats
			}
			latest = false
			if !take {
				continue
			}
			if len(result.Entries) == cmp.Or(b.page, 1000) {
				last := result.Entries[len(result.Entries)-1]
				lastKey, _ := url.QueryUnescape(last.Key) // as it was escaped above
				result.IsTruncated = true
				if versions {
					result.NextKeyMarker, result.NextVersionIdMarker = last.Key, last.VersionId
				} else {
					result.NextContinuationToken = lastKey
				}
				break
			}
			result.Entries = append(result.Entries, e)
		}
		if result.IsTruncated {
			break
		}
	}
	if b.markersFirst {
		slices.SortStableFunc(result.Entries, func(x, y entry) int { return strings.Compare(x.XMLName.Local, y.XMLName.Local) })
	}
	if b.stuck {
		result.IsTruncated, result.NextKeyMarker, result.NextVersionIdMarker = true, "", ""
	}
	content, err := xml.Marshal(result)
	if err != nil {
		refuse(w, 500, "InternalError", "")
		return
	}
	_, _ = w.Write(content) // the client tells
}

// lifecycle answers and takes lifecycle configurations as they are.
func (b *fakeBucket) lifecycle(w http.ResponseWriter, method string, body []byte) {
	switch {
	case method == http.MethodPut:
		b.rules = string(body)
	case b.rules == "":
		refuse(w, 404, "NoSuchLifecycleConfiguration", "")
	default:
		fmt.Fprint(w, b.rules)
	}
}
