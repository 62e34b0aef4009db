#!/usr/bin/env python3
"""The yardstick for Burnish's gateway: LiteLLM's proxy in front of the same upstream.

    litellm_proxy.py UPSTREAM_BASE_URL [--workers 1] [--port 0]

UPSTREAM_BASE_URL is that of an OpenAI-compatible API, such as http://127.0.0.1:9000/v1. The one model, `bench`, is
`openai/bench` there. LiteLLM is set up for speed as its production guide has it: uvicorn on uvloop with httptools, logs of
errors only and none of requests, no database, cache, callbacks, telemetry or retries. It has no master key either, which
it must be told to permit and which spares it work, so requests need no Authorization header. It fetches nothing from the
internet. Prints one line of JSON once every worker serves:

    {"name": "litellm 1.x.y", "base_url": "http://127.0.0.1:PORT/v1", "model": "bench", "workers": N, "pid": PID}

where PID leads the process group of the proxy with all its workers; what LiteLLM itself says goes to stderr. The end of
stdin, SIGTERM or SIGINT stops the proxy. Wants the PyPI packages litellm[proxy] and httptools; runs on Linux.
"""

import argparse
import contextlib
import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from importlib.metadata import version

ENVIRONMENT = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_TELEMETRY_DISABLED": "True",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
    "DISABLE_ADMIN_UI": "True",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "True",
    "NO_DOCS": "True",
    "NO_REDOC": "True",
    "GRACEFUL_SHUTDOWN_TIMEOUT": "2",
}
OTHERS = ("LITELLM_", "DATABASE_", "REDIS_", "OPENAI_", "OTEL_", "WORKER_CONFIG", "NUM_WORKERS")
OTHERS += ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
STARTED = "Application startup complete."
PR_SET_PDEATHSIG = 1


def settings(upstream):
    """LiteLLM's configuration; JSON is YAML too."""
    return {
        "model_list": [
            {
                "model_name": "bench",
                "litellm_params": {"model": "openai/bench", "api_base": upstream, "api_key": "none", "max_retries": 0},
            }
        ],
        "litellm_settings": {
            "set_verbose": False,
            "json_logs": False,
            "cache": False,
            "num_retries": 0,
            "request_timeout": 600,
            "disable_hf_tokenizer_download": True,
        },
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        "general_settings": {"disable_spend_logs": True, "disable_error_logs": True, "background_health_checks": False},
    }


def logs(folder):
    """uvicorn's logging: errors to stderr, the workers' starts to a file, requests nowhere."""
    plain = {"formatter": "plain"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(levelname)s %(name)s: %(message)s"}},
        "handlers": {
            "stderr": plain | {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "level": "ERROR"},
            "starts": plain | {"class": "logging.FileHandler", "filename": os.path.join(folder, "starts")},
        },
        "loggers": {
            "uvicorn": {"handlers": ["stderr", "starts"], "level": "INFO", "propagate": False},
            "uvicorn.access": {"handlers": [], "propagate": False},
        },
    }


def free_port(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return probe.getsockname()[1]


def start(folder, upstream, port, workers):
    for name, content in (("config.yaml", settings(upstream)), ("logs.json", logs(folder))):
        with open(os.path.join(folder, name), "w") as file:
            json.dump(content, file)
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith(OTHERS)}
    command = [os.path.join(sysconfig.get_path("scripts"), "litellm"), "--config", "config.yaml", "--log_config", "logs.json"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", str(workers)]
    if workers > 1:
        command += ["--timeout_worker_healthcheck", "60"]
    system = ctypes.CDLL(None)
    return subprocess.Popen(
        command,
        cwd=folder,
        env=inherited | ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
        preexec_fn=lambda: system.prctl(PR_SET_PDEATHSIG, signal.SIGTERM),
    )


def ready(folder, port, workers):
    with contextlib.suppress(OSError):
        with open(os.path.join(folder, "starts")) as file:
            started = file.read().count(STARTED)
        if started >= workers:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
                connection.request("GET", "/health/readiness")
                return connection.getresponse().status == 200
    return False


def stop(proxy):
    """Ends the group that `start` made and waits until none of it is left."""
    proxy.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        proxy.wait(10)
    until = time.monotonic() + 10
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(proxy.pid, signal.SIGKILL)
            proxy.poll()
            time.sleep(0.02)


def leave_at_end_of_input():
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def leave(*_):
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("upstream", metavar="UPSTREAM_BASE_URL")
    arguments.add_argument("--workers", type=int, default=1)
    arguments.add_argument("--port", type=int, default=0, help="0 takes a free one")
    arguments.add_argument("--patience", type=float, default=180, help="seconds that the start may take")
    options = arguments.parse_args()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    threading.Thread(target=leave_at_end_of_input, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="litellm-proxy-") as folder:
        port = free_port(options.port)
        proxy = start(folder, options.upstream, port, options.workers)
        try:
            until = time.monotonic() + options.patience
            while not ready(folder, port, options.workers):
                if proxy.poll() is not None:
                    sys.exit(f"litellm ended with status {proxy.returncode} before it was ready")
                if time.monotonic() > until:
                    sys.exit(f"litellm was not ready after {options.patience} seconds")
                time.sleep(0.1)
            result = {
                "name": f"litellm {version('litellm')}",
                "base_url": f"http://127.0.0.1:{port}/v1",
                "model": "bench",
                "workers": options.workers,
                "pid": proxy.pid,
            }
            print(json.dumps(result), flush=True)
            # Not `wait`, which goes on when another thread than this one takes the signal.
            while proxy.poll() is None:
                time.sleep(0.2)
            sys.exit(f"litellm ended with status {proxy.returncode}")
        finally:
            stop(proxy)


if __name__ == "__main__":
    main()
