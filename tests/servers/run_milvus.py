"""Becomes Milvus 2.3.5, in place of its launcher milvus-server.

    run_milvus.py DATA BINARIES [SETTING=VALUE...]
    run_milvus.py --unpack FOLDER

The launcher stays alive when its server dies, unpacks 250 MB into each data
directory, and lets every port slide to the next free one at every start.  Its
configuration is what this takes from it, once for a data directory.
"""

import os
import sys

import milvus

# After a restart CheckHealth says no until the sessions of the components that
# were there before have run out.  The server's own 30 s make that 35 s, this 15 s.
SESSION_SECONDS = 10


def configure(data, settings):
    config = milvus.default_server.config
    config.update(data_dir=data, proxy_port=19530)  # a port from here fails, where others slide
    for setting in settings:
        key, value = setting.split("=", 1)
        if key not in config.configurable_items:
            sys.exit(f"{milvus.__file__} has no setting {key}")
        config.set(key, config.get_value(value, config.get_type(key)))
    config.set("common.session.ttl", SESSION_SECONDS)
    config.resolve()
    config.set("system_log_path", "")  # what is on standard output is enough
    config.write_config()


def main():
    if sys.argv[1] == "--unpack":
        milvus._initialize_data_files(sys.argv[2])
        return
    data, binaries, *settings = sys.argv[1:]
    if not os.path.exists(data + "/configs/milvus.yaml"):
        configure(data, settings)
    os.chdir(data)
    os.environ.update(
        DEPLOY_MODE="STANDALONE",
        METRICS_PORT="9091",
        MILVUS_RUN_DIR=data + "/run",
        LD_LIBRARY_PATH=binaries,
    )
    os.execv(binaries + "/milvus", [binaries + "/milvus", "run", "standalone"])


main()
