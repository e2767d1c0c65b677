"""Unmodified clients: Celery's AsyncResult, redis-py, gRPC by reflection, REST and server-sent events."""

import json
import os
import sys
import time
import urllib.error
import urllib.request

import celery
import celery.exceptions
import grpc
import redis
from celery.result import AsyncResult
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

rest, grpc_url, redis_url = sys.argv[1:]
key = os.environ["API_KEY"]
app = celery.Celery(backend=redis_url)
server = redis.Redis.from_url(redis_url, decode_responses=True)


def call(method, path, body=None, headers={}):
    headers = {"x-api-key": key, **headers}
    if body is not None:
        headers = {"content-type": "application/json", **headers}
    request = urllib.request.Request(rest + path, method=method, data=None if body is None else json.dumps(body).encode(), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or "null")
    except urllib.error.HTTPError as error:
        assert error.headers["content-type"] == "application/problem+json", error.headers
        return error.code, json.loads(error.read())


def submit(**body):
    status, answer = call("POST", "/api/v1/jobs", {"job_type": "diagnostic", **body})
    assert status == 201, answer
    return answer["job_id"]


def eventually(what, there):
    for _ in range(1200):
        if there():
            return
        time.sleep(0.05)
    sys.exit(f"waited a minute for: {what}")


# Celery's six states.
pending = AsyncResult(submit(queue="paused"), app=app)
assert call("POST", "/api/v1/queues/paused/pause") == (200, {"queue": "paused", "paused": True})
eventually("the queue of the mirror", lambda: server.zscore("cowrie:jobs:paused", pending.id))
assert pending.state == "PENDING", pending.state
running = AsyncResult(submit(parameters={"steps": 1000, "step_seconds": 0.1}), app=app)
eventually("PROGRESS", lambda: running.state == "PROGRESS" and running.info["progress_percent"] > 0)
# A diagnostic job has steps, and reads no sessions.
assert running.info["current_step"].startswith("step ") and running.info["total_sessions"] is None, running.info
done = AsyncResult(submit(parameters={"steps": 2, "step_seconds": 0.1}), app=app)
assert done.get(timeout=30)["steps"] == 2
assert done.state == "SUCCESS"
retry = AsyncResult(submit(parameters={"fail": "retry", "steps": 0}), app=app)
eventually("RETRY", lambda: retry.state == "RETRY")
failed = AsyncResult(submit(parameters={"fail": "give_up", "steps": 0}), app=app)
try:
    failed.get(timeout=30)
    sys.exit("a failed job raises nothing")
except Exception as error:
    assert type(error).__name__ == "GiveUp" and "as it was asked to" in str(error), repr(error)
assert failed.state == "FAILURE"
assert call("POST", f"/api/v1/jobs/{running.id}/cancel")[0] == 200
eventually("REVOKED", lambda: running.state == "REVOKED")
try:
    running.get(timeout=30)
    sys.exit("a cancelled job raises nothing")
except celery.exceptions.TaskRevokedError:
    pass
print("Celery: PENDING, PROGRESS, SUCCESS, RETRY, FAILURE, REVOKED")

# Redis: a channel to listen on, a hash to read, a stream to go back in.
listener = server.pubsub()
listener.psubscribe("cowrie:status:*", "cowrie:progress:*")
job = submit(parameters={"steps": 3, "step_seconds": 0.3})
heard = {"status": [], "progress": []}
for message in listener.listen():
    if message["type"] == "pmessage" and message["channel"].endswith(job):
        status = json.loads(message["data"])
        heard[message["channel"].split(":")[1]].append(status)
        if status["state"] == "completed":
            break
assert len(heard["progress"]) >= 3, heard
percents = [status["progress_percent"] for status in heard["status"]]
assert percents == sorted(percents), percents
fields = server.hgetall(f"cowrie:status:{job}")
assert fields["state"] == "completed" and fields["progress_percent"].startswith("100"), fields
states = [json.loads(fields["status"])["state"] for _, fields in server.xrange(f"cowrie:events:{job}")]
assert states[0] == "queued" and states[-1] == "completed" and "in_progress" in states, states
assert server.ttl(f"celery-task-meta-{job}") > 3600
assert server.zscore("cowrie:jobs:reports", job) is None
print(f"Redis: {len(heard['status'])} statuses heard, {len(states)} in the stream")

# gRPC, from what the server says of itself.


class WithKey(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Sends the key with each call, as bearer."""

    def send(self, proceed, details, request):
        metadata = [*(details.metadata or ()), ("authorization", f"Bearer {key}")]
        return proceed(details._replace(metadata=metadata), request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_stream = send


channel = grpc.intercept_channel(grpc.insecure_channel(grpc_url.removeprefix("http://")), WithKey())
pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
service = pool.FindServiceByName("cowrie.v1.JobsService")


def rpc(method, body, stream=False, **options):
    method = service.FindMethodByName(method)
    request = message_factory.GetMessageClass(method.input_type)
    answer = message_factory.GetMessageClass(method.output_type)
    make = channel.unary_stream if stream else channel.unary_unary
    path = f"/cowrie.v1.JobsService/{method.name}"
    return make(path, request_serializer=request.SerializeToString, response_deserializer=answer.FromString)(request(**body), timeout=30, **options)


made = rpc("SubmitJob", {"job_type": "diagnostic", "parameters": {"steps": 3, "step_seconds": 0.2}, "idempotency_key": "mine"})
again = rpc("SubmitJob", {"job_type": "diagnostic", "parameters": {"steps": 3, "step_seconds": 0.2}, "idempotency_key": "mine"})
assert (made.created, again.created, made.job_id == again.job_id) == (True, False, True)
states = [answer.status.state for answer in rpc("WatchJob", {"job_id": made.job_id}, stream=True)]
assert states[0] == 1 and states[-1] == 4, states
for body, code, word in [
    ({"job_type": "diagnostic", "parameters": {"steps": 4}, "idempotency_key": "mine"}, grpc.StatusCode.ALREADY_EXISTS, made.job_id),
    ({"job_type": "mine_bitcoin"}, grpc.StatusCode.INVALID_ARGUMENT, "known: report, longtail_analysis, snowshoe_detection, botnet_coordination, diagnostic"),
    ({"job_type": "diagnostic", "parameters": {"steps": "many"}}, grpc.StatusCode.INVALID_ARGUMENT, "parameters.steps"),
    ({"job_type": "diagnostic", "requirements": {"min_memory_gb": float("nan")}}, grpc.StatusCode.INVALID_ARGUMENT, "requirements.min_memory_gb"),
]:
    try:
        rpc("SubmitJob", body)
        sys.exit(f"accepted: {body}")
    except grpc.RpcError as error:
        assert error.code() == code and word in error.details(), error
        if code == grpc.StatusCode.INVALID_ARGUMENT:
            details = dict(error.trailing_metadata())["grpc-status-details-bin"]
            assert b"google.rpc.BadRequest" in details and any(
                field in details for field in (b"job_type", b"parameters.steps", b"requirements.min_memory_gb")
            ), details
print(f"gRPC: {len(states)} statuses watched")

# REST: what is wrong is said, and nothing is half made.
_, before = call("GET", "/api/v1/jobs?page_size=1000")
for body, field in [
    ({"job_type": "report", "parameters": {"time_window": "forever"}}, "parameters.time_window"),
    ({"job_type": "report", "parameters": {"sensor": "x" * 100_000}}, "parameters"),
    ({"job_type": "report", "deadline": "2001-01-01T00:00:00Z"}, "deadline"),
    ({"job_type": "report", "priority": 0}, "priority"),
    ([], "body"),
]:
    status, problem = call("POST", "/api/v1/jobs", body)
    assert status == 422 and field in [error["field"] for error in problem["errors"]], problem
assert call("POST", "/api/v1/jobs", {"job_type": "report"}, {"idempotency-key": "mine"})[0] == 409
assert call("GET", "/api/v1/jobs/x")[0] == 422
assert call("GET", "/api/v1/jobs?queue=%00")[0] == 422
status, problem = call("GET", "/api/v1/queues/x/pause", headers={"x-request-id": "mine"})
assert (status, problem["type"], problem["status"], problem["code"], problem["errors"], problem["request_id"]) == (405, "about:blank", 405, "method_not_allowed", [], "mine"), problem
assert call("POST", "/api/v1/jobs", "x" * 2_000_000)[1]["status"] == 413
assert call("GET", "/api/v1/jobs/00000000-0000-0000-0000-000000000000")[0] == 404
_, after = call("GET", "/api/v1/jobs?page_size=1000")
assert len(before["jobs"]) == len(after["jobs"])
_, first = call("GET", "/api/v1/jobs?page_size=3")
_, second = call("GET", f"/api/v1/jobs?page_size=3&page_token={first['next_page_token']}")
assert [job["job_id"] for job in first["jobs"] + second["jobs"]] == [job["job_id"] for job in after["jobs"][:6]]

# Unique while it waits or runs.
unique = [call("POST", "/api/v1/jobs", {"job_type": "diagnostic", "queue": "paused", "unique_key": "u"}) for _ in range(2)]
assert [status for status, _ in unique] == [201, 200] and unique[0][1]["job_id"] == unique[1][1]["job_id"], unique

# Server-sent events, to the end.
job = submit(parameters={"steps": 3, "step_seconds": 0.2})
with urllib.request.urlopen(urllib.request.Request(f"{rest}/api/v1/jobs/{job}/events", headers={"x-api-key": key}), timeout=30) as answer:
    assert answer.headers["content-type"] == "text/event-stream"
    told = [json.loads(line[6:]) for line in answer.read().decode().splitlines() if line.startswith("data: ")]
assert told[0]["state"] == "queued" and told[-1]["state"] == "completed", told
versions = [status["version"] for status in told]
assert versions == sorted(set(versions)), versions

# A schedule fires by the second, each firing once.
status, schedule = call("PUT", "/api/v1/schedules/often", {"cron": "* * * * * *", "job": {"job_type": "diagnostic", "parameters": {"steps": 0}}})
assert status == 200 and schedule["next_at"], schedule
status, problem = call("PUT", "/api/v1/schedules/wrong", {"cron": "* * *", "job": {"job_type": "report", "priority": 99}})
assert status == 422 and [error["field"] for error in problem["errors"]] == ["cron", "job.priority"], problem


def fired():
    jobs = call("GET", "/api/v1/jobs?page_size=1000&job_type=diagnostic")[1]["jobs"]
    return [job["idempotency_key"] for job in jobs if job["schedule"] == "often"]


eventually("three firings", lambda: len(fired()) >= 3)
assert call("DELETE", "/api/v1/schedules/often")[0] == 204
assert len(set(fired())) == len(fired())

# A report.
_, answer = call("POST", "/api/v1/jobs", {"job_type": "report", "parameters": {"time_window": "7d"}})
report = AsyncResult(answer["job_id"], app=app).get(timeout=30)
assert report["from"] < report["to"] and "from_at" not in report["counts"], report
assert all(point["from"] < point["to"] for point in report["timeline"]), report
assert report["counts"]["events"] == 0 and report["markdown"].startswith("# Cowrie report"), report
print("REST: errors, pages, events, schedules, a report")
