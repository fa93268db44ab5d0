// Time, sign, list, switch, refresh, poll with OVHcloud's own Go client. Tells what it saw as JSON.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ovh/go-ovh/ovh"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func statusOf(err error) interface{} {
	var refusal *ovh.APIError
	if errors.As(err, &refusal) {
		return []interface{}{refusal.Code, refusal.Class, refusal.Message, refusal.QueryID != ""}
	}
	return fmt.Sprint(err)
}

func main() {
	url := os.Getenv("SANDBOX_URL")
	client, err := ovh.NewClient(url, os.Getenv("SANDBOX_APPLICATION_KEY"), os.Getenv("SANDBOX_APPLICATION_SECRET"), os.Getenv("SANDBOX_CONSUMER_KEY"))
	must(err)
	seen := map[string]interface{}{}

	_, err = client.Time()
	must(err)
	var details struct{ Account, Method string }
	must(client.Get("/auth/details", &details))
	seen["details"] = details.Method
	var names []string
	must(client.Get("/ipLoadbalancing", &names))
	root := "/ipLoadbalancing/" + names[0]

	var blue, green struct {
		FarmID      int     `json:"farmId"`
		DisplayName string  `json:"displayName"`
		Balance     *string `json:"balance"`
		Port        *int    `json:"port"`
	}
	type body map[string]interface{}
	must(client.Post(root+"/http/farm", body{"zone": "all", "displayName": "bleu é <&>", "port": nil, "stickiness": nil}, &blue))
	must(client.Post(root+"/http/farm", body{"zone": "all", "displayName": "vert", "port": 8080}, &green))
	seen["name"] = blue.DisplayName
	seen["invented"] = blue.Balance != nil || blue.Port != nil
	var front struct {
		FrontendID    int    `json:"frontendId"`
		Port          string `json:"port"`
		DefaultFarmID int    `json:"defaultFarmId"`
	}
	must(client.Post(root+"/http/frontend", body{"zone": "all", "port": "80", "defaultFarmId": blue.FarmID}, &front))
	frontend := fmt.Sprintf("%s/http/frontend/%d", root, front.FrontendID)

	must(client.Put(frontend, body{"defaultFarmId": green.FarmID}, nil))
	var task struct {
		ID     int
		Status string
	}
	must(client.Post(root+"/refresh", nil, &task))
	for task.Status != "done" {
		must(client.Get(fmt.Sprintf("%s/task/%d", root, task.ID), &task))
		time.Sleep(20 * time.Millisecond)
	}
	must(client.Get(frontend, &front))
	seen["switched"] = front.DefaultFarmID == green.FarmID
	var pending []interface{}
	must(client.Get(root+"/pendingChanges", &pending))
	seen["left"] = len(pending)
	must(client.Delete(fmt.Sprintf("%s/http/farm/%d", root, blue.FarmID), nil))

	few, err := ovh.NewClient(url, os.Getenv("SANDBOX_APPLICATION_KEY"), os.Getenv("SANDBOX_APPLICATION_SECRET"), os.Getenv("FEW_RIGHTS"))
	must(err)
	token, err := ovh.NewAccessTokenClient(url, os.Getenv("SANDBOX_TOKEN"))
	must(err)
	must(token.Get("/auth/details", &details))
	seen["bearer"] = details.Method
	seen["refusals"] = []interface{}{
		statusOf(client.Get(fmt.Sprintf("%s/http/farm/%d", root, blue.FarmID), nil)),
		statusOf(few.Get("/me", nil)),
	}
	must(json.NewEncoder(os.Stdout).Encode(seen))
}
