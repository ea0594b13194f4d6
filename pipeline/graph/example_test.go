package graph_test

import (
	"errors"
	"fmt"
	"os"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// Everything that is wrong is reported at once.
func ExampleParse() {
	_, err := graph.Parse([]graph.File{{Name: "service.yaml", Data: []byte(`
version: 1
front: {timeout: 30}
routes:
  - {prefix: /, stage: pasre}
stages:
  parse: {worker: primes.parse, next: [compute]}
  compute: {wroker: primes.compute}
`)}}, graph.Options{Workers: []string{"primes.parse", "primes.compute"}})
	var invalid *graph.Invalid
	if errors.As(err, &invalid) {
		for _, p := range invalid.Problems {
			fmt.Println(p)
		}
	}
	// Output:
	// service.yaml:3:18: front.timeout: "30" has no unit: want a duration or never (write a number with ms, s, m or h, like 500ms or 1m30s, or never)
	// service.yaml:5:24: routes[0].stage: there is no stage "pasre" (did you mean parse?)
	// service.yaml:8:13: stages.compute.wroker: there is no such key (did you mean worker?)
}

func ExampleRouter() {
	g, err := graph.Load([]string{"testdata/good/whole.yaml"}, graph.Options{LookupEnv: noEnv})
	if err != nil {
		fmt.Println(err)
		return
	}
	router := graph.NewRouter(g)
	for _, request := range []graph.Request{
		{Method: "GET", Path: graph.PathOf("/is_prime?possible_prime=7")},
		{Method: "PUT", Path: "/is_prime"},
		{Method: "GET", Path: "/echo/x", Host: "www.example.com:8002"},
		{Method: "GET", Path: "/echo/x", Host: "example.com"},
	} {
		switch d := router.Match(request); d.Status {
		case graph.StatusFound:
			fmt.Println(g.Routes[d.Route].Stage)
		case graph.StatusMethodNotAllowed:
			fmt.Println(int(d.Status), "Allow:", d.Allow)
		default:
			fmt.Println(int(d.Status))
		}
	}
	// Output:
	// parse
	// 405 Allow: GET, HEAD, POST
	// echo
	// 404
}

func ExampleGraph_Draw() {
	g, err := graph.Load([]string{"testdata/good/minimal.yaml"}, graph.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = g.Draw(os.Stdout, graph.FormatMermaid)
	// Output:
	// flowchart LR
	//   front0(["front<br>http://127.0.0.1:8002"])
	//   subgraph stages
	//     stage0("greet<br>echo × 1 per core")
	//   end
	//   route0[/"/*"/]
	//   front0 --- route0
	//   route0 --> stage0
	//   stages -.->|loopback| front0
}
