-- held(lab, service, point, where, start, meanwhile): start() runs beside the story and its work stands still
-- at the service's failpoint; meanwhile() happens, then it goes on. where: what the point's context says of
-- the one that is to stand still.
return function(lab, service, point, where, start, meanwhile)
  local before = #service:hits(point)
  service:failpoint(point, "1*pause if " .. where, { must_fire = true })
  local who = lab:background(("who is to stand still at %s"):format(point), start)
  service:await_hit(point, "30s", before + 1)
  meanwhile()
  service:failpoint(point, "off")
  who:join()
end
