"""Time, sign, list, switch, refresh, poll with OVHcloud's own Python client. Tells what it saw as JSON."""

import json
import os
import time

import ovh
from ovh.client import ENDPOINTS

# The one way to give it a private endpoint. The CA comes from REQUESTS_CA_BUNDLE.
ENDPOINTS["sandbox"] = os.environ["SANDBOX_URL"]
keys = {
    "application_key": os.environ["SANDBOX_APPLICATION_KEY"],
    "application_secret": os.environ["SANDBOX_APPLICATION_SECRET"],
}
client = ovh.Client(endpoint="sandbox", consumer_key=os.environ["SANDBOX_CONSUMER_KEY"], **keys)

seen = {"time_delta": client.time_delta, "me": client.get("/me")["nichandle"]}
seen["credential"] = client.get("/auth/currentCredential")["status"]
seen["details"] = client.get("/auth/details")["method"]
seen["v1"] = client.get("/v1/ipLoadbalancing")
[name] = client.get("/ipLoadbalancing")
root = f"/ipLoadbalancing/{name}"

blue = client.post(f"{root}/http/farm", zone="all", port=8080, displayName="bleu é ☂ <&>", stickiness=None)
green = client.post(f"{root}/http/farm", zone="all", port=8080, displayName="vert")
server = client.post(
    f"{root}/http/farm/{green['farmId']}/server", address="192.0.2.1", status="active", weight=0, onMarkedDown=None
)
front = client.post(f"{root}/http/frontend", zone="all", port="80", defaultFarmId=blue["farmId"])
frontend = f"{root}/http/frontend/{front['frontendId']}"
seen["name"] = client.get(f"{root}/http/farm/{blue['farmId']}")["displayName"]
seen["weight"] = client.get(f"{root}/http/farm/{green['farmId']}/server/{server['serverId']}")["weight"]
seen["listed"] = client.get(f"{root}/http/frontend", port="80") == [front["frontendId"]]

seen["put"] = client.put(frontend, defaultFarmId=green["farmId"])
seen["pending"] = client.get(f"{root}/pendingChanges")
task = client.post(f"{root}/refresh")
while client.get(f"{root}/task/{task['id']}")["status"] in ("todo", "doing"):
    time.sleep(0.02)
seen["task"] = client.get(f"{root}/task/{task['id']}")["status"]
seen["done"] = client.get(f"{root}/task", action="refreshIplb", status="done") == [task["id"]]
seen["left"] = client.get(f"{root}/pendingChanges")
seen["frontend"] = client.get(frontend)["defaultFarmId"] == green["farmId"]

seen["delete"] = client.delete(f"{root}/http/farm/{blue['farmId']}")
try:
    client.get(f"{root}/http/farm/{blue['farmId']}")
except ovh.exceptions.ResourceNotFoundError as error:
    seen["gone"] = bool(error.query_id)


def class_of_refusal(path, **changed):
    try:
        ovh.Client(endpoint="sandbox", **{"consumer_key": os.environ["SANDBOX_CONSUMER_KEY"], **keys, **changed}).get(path)
    except ovh.exceptions.APIError as error:
        return type(error).__name__
    return None


request = ovh.Client(endpoint="sandbox", **keys).new_consumer_key_request()
request.add_recursive_rules(["GET"], "/ipLoadbalancing")
pending = request.request()
seen["request"] = pending["state"]
seen["refusals"] = [
    class_of_refusal("/me", application_key="none"),
    class_of_refusal("/me", consumer_key="none"),
    class_of_refusal("/me", consumer_key=pending["consumerKey"]),
    class_of_refusal("/me", consumer_key=os.environ["FEW_RIGHTS"]),
]
print(json.dumps(seen))
