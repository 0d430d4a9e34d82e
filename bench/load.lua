-- wrk ... -- FILE: requests cycle through FILE, whose lines hold an Authorization header, a tab and a form.
local requests, last = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    local authorization, body = line:match("^(.-)\t(.*)$")
    local headers = {
      ["Host"] = wrk.headers["Host"],
      ["Authorization"] = authorization,
      ["Content-Type"] = "application/x-www-form-urlencoded",
    }
    requests[#requests + 1] = wrk.format("POST", nil, headers, body)
  end
end

function request()
  last = last % #requests + 1
  return requests[last]
end

-- Times are in microseconds.
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%d,"microseconds":%d,"not_ok":%d,"socket":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
