-- fingerprint(text) -> 16 hexadecimal digits: FNV-1a, 64 bits. It tells texts apart that differ by accident,
--   not by intent.
return function(text)
  local hash = 0xcbf29ce484222325
  for at = 1, #text do hash = (hash ~ text:byte(at)) * 0x100000001b3 end
  return ("%016x"):format(hash)
end
