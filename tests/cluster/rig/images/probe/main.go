// Command probe is what the tests run in pods: a small web server, and a
// client that looks around from inside.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const usage = `usage: probe COMMAND
  serve           serve MESSAGE and the pod's name on PORT (8080), from READY_AFTER on
  get URL         print the body of an answer
  resolve NAME    print the addresses of a name
  cat FILE        print a file
`

func main() {
	argument := ""
	if len(os.Args) == 3 {
		argument = os.Args[2]
	}
	var err error
	switch command := strings.Join(os.Args[1:min(2, len(os.Args))], ""); command {
	case "serve":
		err = serve()
	case "get":
		err = get(argument)
	case "resolve":
		err = resolve(argument)
	case "cat":
		err = cat(argument)
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve answers / always and /ready after the time READY_AFTER.
func serve() error {
	wait, err := time.ParseDuration("0" + os.Getenv("READY_AFTER"))
	if err != nil {
		return err
	}
	ready := time.Now().Add(wait)
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Printf("request for %s\n", r.URL.Path)
		fmt.Fprintf(w, "%s from %s to %s\n", os.Getenv("MESSAGE"), name, r.RemoteAddr)
	})
	http.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if time.Now().Before(ready) {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	})
	fmt.Println("serving")
	return http.ListenAndServe(":"+cmp.Or(os.Getenv("PORT"), "8080"), nil)
}

func get(url string) error {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", response.Status)
	}
	return nil
}

func resolve(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return err
	}
	fmt.Println(strings.Join(addresses, "\n"))
	return nil
}

func cat(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(content)
	return err
}
