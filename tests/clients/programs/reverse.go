// A Go application behind Go's own reverse proxy. The program prints the
// address of the proxy, and ends when its standard input does.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync/atomic"
)

// Uploads that reached the application, that it read to their end, and that
// broke off.
var begun, whole, broken atomic.Int64

// application answers with what it was told, and with trailers.
func application(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/reverse/hints":
		w.Header().Set("Link", "</style.css>; rel=preload; as=style")
		w.WriteHeader(http.StatusEarlyHints)
	case "/reverse/upload":
		begun.Add(1)
	case "/reverse/uploads":
		fmt.Fprintf(w, "%d begun, %d whole, %d broken off", begun.Load(), whole.Load(), broken.Load())
		return
	}
	read, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		broken.Add(1)
		return
	}
	if r.URL.Path == "/reverse/upload" {
		whole.Add(1)
	}
	w.Header().Set("Trailer", "X-Sum")
	answer, _ := json.Marshal(map[string]any{
		"real":      r.Header.Values("X-Real-Ip"),
		"forwarded": r.Header.Values("X-Forwarded-For"),
		"proto":     r.Header.Values("X-Forwarded-Proto"),
		"read":      read,
	})
	w.Write(answer)
	w.Header().Set("X-Sum", "42")
}

// serve has a handler answer at an address of its own.
func serve(handler http.Handler) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(listener, handler)
	return listener.Addr().String()
}

func main() {
	behind := &url.URL{Scheme: "http", Host: serve(http.HandlerFunc(application))}
	proxy := httputil.NewSingleHostReverseProxy(behind)
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	fmt.Println(serve(proxy))
	io.Copy(io.Discard, os.Stdin)
}
