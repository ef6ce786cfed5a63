-- Counts answers that are not the one that is expected.
local threads = {}

function setup(thread)
   table.insert(threads, thread)
end

function init(args)
   bad = 0
end

function response(status, headers, body)
   if status ~= 200 or body ~= "hello\n" then
      bad = bad + 1
   end
end

function done(summary, latency, requests)
   local all = 0
   for _, thread in ipairs(threads) do
      all = all + thread:get("bad")
   end
   print("not hello: " .. all)
end
