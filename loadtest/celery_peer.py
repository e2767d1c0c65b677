"""Celery with Redis, tuned: the same empty task as our `diagnostic` with no steps. Prints one JSON object; run by `loadtest bench --parts jobs`."""

import argparse
import json
import os
import subprocess
import sys
import threading
import time

import celery
import kombu
import redis

URL = os.environ["CELERY_PEER_REDIS"]
BACKEND = f"{URL}/1"
SETTINGS = {
    "task_acks_late": True,
    "worker_prefetch_multiplier": int(os.environ.get("CELERY_PEER_PREFETCH", "16")),
    "worker_concurrency": 2,
    "worker_disable_rate_limits": True,
    "worker_send_task_events": False,
    "task_track_started": False,
    "task_serializer": "json",
    "broker_connection_retry_on_startup": True,
}
# Those who submit. One more was not faster on two cores.
THREADS = int(os.environ.get("CELERY_PEER_THREADS", "1"))
IDLE, WARM_UP, PAUSE = 300, 50, 0.02

worker_app = celery.Celery("celery_peer", broker=f"{URL}/0", backend=BACKEND)
worker_app.conf.update(SETTINGS)
# Who submits does not subscribe to each result: that would be half of the work of a call.
calling_app = celery.Celery("celery_peer_calls", broker=f"{URL}/0")
calling_app.conf.update(SETTINGS)
app = worker_app


@worker_app.task(name="empty")
def empty():
    return time.time()


def results():
    return redis.Redis.from_url(BACKEND)


def submit_in_threads(count):
    def some(n):
        for _ in range(n):
            calling_app.send_task("empty")

    threads = [threading.Thread(target=some, args=(count // THREADS,)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def stored(store, count):
    deadline = time.time() + 300
    while store.dbsize() < count:
        if time.time() > deadline:
            sys.exit(f"{store.dbsize()} of {count} results after 300 s")
        time.sleep(0.01)


def idle(store):
    delays = []
    for n in range(WARM_UP + IDLE):
        sent = time.time()
        key = f"celery-task-meta-{calling_app.send_task('empty').id}"
        while (found := store.get(key)) is None:
            time.sleep(0.001)
        if n >= WARM_UP:
            delays.append((json.loads(found)["result"] - sent) * 1000)
        time.sleep(PAUSE)
    return delays


def rate(store, tasks):
    total = tasks // THREADS * THREADS
    before = store.dbsize()
    began = time.time()
    submit_in_threads(total)
    submitted = time.time() - began
    stored(store, before + total)
    return total / (time.time() - began), total / submitted


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=5000)
    tasks = parser.parse_args().tasks
    options = ["--pool", "prefork", "--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    command = [sys.executable, "-m", "celery", "-A", "celery_peer", "worker", *options]
    worker = subprocess.Popen(command, cwd=os.path.dirname(os.path.abspath(__file__)), stdout=subprocess.DEVNULL)
    try:
        store = results()
        start = idle(store)
        done, submitted = rate(store, tasks)
    finally:
        worker.terminate()
        worker.wait()
    server = store.info("server")["redis_version"]
    setting = f"{celery.__version__}, kombu {kombu.__version__}, redis-py {redis.__version__}, Redis {server} (appendonly, everysec), "
    setting += f"prefork 2, acks_late, prefetch {SETTINGS['worker_prefetch_multiplier']}, {THREADS} submitter(s)"
    print(json.dumps({"rate": done, "submission": submitted, "start": start, "setting": setting}))


if __name__ == "__main__":
    main()
