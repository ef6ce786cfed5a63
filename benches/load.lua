-- What wrk does for `make bench`: POST of a file's bytes, if one is given; every byte of every response compared, in the warm-up; figures as JSON.
-- Arguments after the URL: what is sent ("" for a GET), what is expected ("" where the run is measured and nothing is compared).

local function contents(name)
  local file = assert(io.open(name, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  wrong = 0
  if args[1] ~= "" then
    wrk.method, wrk.body = "POST", contents(args[1])
    wrk.headers["Content-Type"] = "application/octet-stream"
  end
  if args[2] ~= "" then
    local expected = contents(args[2])
    response = function(status, headers, body)
      if status ~= 200 or body ~= expected then wrong = wrong + 1 end
    end
  end
end

function done(summary, latency, requests)
  local wrong = 0
  for _, thread in ipairs(threads) do wrong = wrong + thread:get("wrong") end
  local e = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"failed":%d,"wrong":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout, wrong))
end
