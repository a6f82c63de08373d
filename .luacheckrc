-- Redis runs the scripts in trainer/jobs/lua, each behind common.lua and the locals that trainer/jobs/scripts.py
-- generates.
std = "lua51"
max_line_length = 110
read_globals = {
  "redis", "cjson", "KEYS", "ARGV",
  -- generated
  "TRANSITIONS", "ENDED", "HELD", "WAIT_SECONDS", "RUN_SECONDS", "REQUEST_SECONDS", "LOG_SECONDS",
  "DEFAULT_KEEP_DAYS", "MAX_EVENTS", "MAX_ARTEFACTS", "MAX_LOSSES", "WORKER_SECONDS",
  -- common.lua
  "call", "now", "now_ms", "job", "text", "log", "tally", "observe", "enter", "move", "leave", "holds",
  "record_progress", "read", "waiting_dependent", "remove",
}
files["trainer/jobs/lua/common.lua"] = {
  globals = {},
  ignore = { "211", "431" }, -- its functions are used in the other files
}
