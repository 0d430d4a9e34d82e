package main

import "net/http"

// bare answers every token request with the same bytes, after parsing its form and some work: none, one signature that is
// verified, or one GET of Redis.
func bare(answer []byte, work func(token string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := work(r.PostForm.Get("subject_token")); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Pragma", "no-cache")
		_, _ = w.Write(answer)
	}
}
