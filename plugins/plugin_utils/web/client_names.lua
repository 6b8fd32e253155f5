-- Copyright: Contributors to the fleet.tls project
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Managed by Ansible (fleet.tls): changes made here are overwritten.
--
-- Which clients may use a site, by the names in their certificates, for nginx, Apache and HAProxy alike. The server has verified the
-- certificate; this reads it (RFC 5280, DER) and compares its names with the patterns of NAMES, at the end. Whatever cannot be read
-- is an error, and an error lets nobody in. Works on Lua 5.1 to 5.4 and LuaJIT.

local NAMES = {}

local SUBJECT_ALTERNATIVE_NAME = "2.5.29.17"
local SEQUENCE, SET, OCTETS, VERSION, EXTENSIONS, BMP_STRING = 0x30, 0x31, 0x04, 0xA0, 0xA3, 0x1E
local EMAIL, DNS, URI, IP = 0x81, 0x82, 0x86, 0x87
local HEADER_KINDS = { [EMAIL] = "email:", [DNS] = "DNS:", [URI] = "URI:", [IP] = "IP:" }

-- The elements between two positions of der: { { tag, first, last }, ... }, positions of their contents.
local function elements(der, first, last)
  local found, at = {}, first
  while at <= last do
    local tag, length = der:byte(at, at + 1)
    if not length or at + 1 > last or tag % 32 == 31 then error("bad DER") end
    at = at + 2
    if length >= 128 then
      local size = length - 128
      if size < 1 or size > 3 or at + size - 1 > last then error("bad DER") end
      length = 0
      for i = at, at + size - 1 do length = length * 256 + der:byte(i) end
      at = at + size
    end
    if at + length - 1 > last then error("bad DER") end
    found[#found + 1] = { tag = tag, first = at, last = at + length - 1 }
    at = at + length
  end
  return found
end

local function content(der, element) return der:sub(element.first, element.last) end

local function inside(der, element, tag)
  if not element or element.tag ~= tag then error("not a certificate") end
  return elements(der, element.first, element.last)
end

local function object_identifier(bytes)
  local numbers, number = {}, 0
  for i = 1, #bytes do
    local byte = bytes:byte(i)
    number = number * 128 + byte % 128
    if byte < 128 then
      if #numbers == 0 then
        local top = math.min(math.floor(number / 40), 2)
        numbers = { string.format("%d", top), string.format("%d", number - top * 40) }
      else
        numbers[#numbers + 1] = string.format("%.0f", number)
      end
      number = 0
    end
  end
  return table.concat(numbers, ".")
end

local function utf8(code)
  if code < 0x80 then return string.char(code) end
  if code < 0x800 then return string.char(0xC0 + math.floor(code / 64), 0x80 + code % 64) end
  return string.char(0xE0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

local function text_of(der, element)
  local bytes = content(der, element)
  if element.tag ~= BMP_STRING then return bytes end
  return (bytes:gsub("(.)(.)", function(high, low) return utf8(high:byte() * 256 + low:byte()) end))
end

-- { { { oid, text }, ... }, ... }: the parts of a distinguished name, each with its attributes.
local function distinguished_name(der, name)
  local parts = {}
  for _, part in ipairs(inside(der, name, SEQUENCE)) do
    local attributes = {}
    for _, attribute in ipairs(inside(der, part, SET)) do
      local pair = inside(der, attribute, SEQUENCE)
      attributes[#attributes + 1] = { object_identifier(content(der, pair[1])), text_of(der, pair[2]) }
    end
    parts[#parts + 1] = attributes
  end
  return parts
end

local function alternative_names(der, extensions)
  for _, extension in ipairs(inside(der, inside(der, extensions, EXTENSIONS)[1], SEQUENCE)) do
    local fields = inside(der, extension, SEQUENCE)
    if object_identifier(content(der, fields[1])) == SUBJECT_ALTERNATIVE_NAME then
      local value = fields[#fields]
      return inside(der, inside(der, value, OCTETS)[1], SEQUENCE)
    end
  end
  return {}
end

-- { subject = as distinguished_name, names = { { tag, text }, ... } } of a certificate, DER.
local function read_certificate(der)
  local certificate = elements(der, 1, #der)
  local fields = inside(der, inside(der, certificate[1], SEQUENCE)[1], SEQUENCE)
  local at = fields[1].tag == VERSION and 6 or 5
  local read = { subject = distinguished_name(der, fields[at]), names = {} }
  for i = at + 2, #fields do
    if fields[i].tag == EXTENSIONS then
      for _, name in ipairs(alternative_names(der, fields[i])) do
        read.names[#read.names + 1] = { name.tag, content(der, name) }
      end
    end
  end
  return read
end

local function same_part(wanted, part)
  if #wanted ~= #part then return false end
  for _, pattern in ipairs(wanted) do
    local found = false
    for _, attribute in ipairs(part) do
      found = found or (attribute[1] == pattern[1] and attribute[2]:find(pattern[2]) ~= nil)
    end
    if not found then return false end
  end
  return true
end

-- People and programs write subjects in either direction.
local function same_subject(wanted, subject)
  if #wanted ~= #subject then return false end
  local forward, backward = true, true
  for i = 1, #wanted do
    forward = forward and same_part(wanted[i], subject[i])
    backward = backward and same_part(wanted[i], subject[#subject + 1 - i])
  end
  return forward or backward
end

local function matches(wanted, read)
  if wanted.subject then return same_subject(wanted.subject, read.subject) end
  for _, name in ipairs(read.names) do
    if wanted.dns and name[1] == DNS and name[2]:lower():find(wanted.dns) then return true end
    if wanted.uri and name[1] == URI and name[2]:find(wanted.uri) then return true end
  end
  return false
end

-- Whether a site asks for no names: it is only told who the client is.
local function is_open(site) return NAMES[site] ~= nil and #NAMES[site] == 0 end

local function is_allowed(site, read)
  if is_open(site) then return true end
  for _, wanted in ipairs(NAMES[site] or {}) do
    if matches(wanted, read) then return true end
  end
  return false
end

-- Nothing in a name can look like the end of it, or like another header.
local function printable(kind, bytes)
  if kind == IP and #bytes == 4 then return table.concat({ bytes:byte(1, 4) }, ".") end
  if kind == IP then
    return (bytes:gsub("(.)(.)", function(high, low) return string.format(":%02x%02x", high:byte(), low:byte()) end):sub(2))
  end
  return (bytes:gsub("[^%w!#%$%%&'%(%)%*%+%-%./:;=%?@_~%[%]]", function(char) return string.format("%%%02X", char:byte()) end))
end

local function header_of(read)
  local said = {}
  for _, name in ipairs(read.names) do
    local kind = HEADER_KINDS[name[1]]
    if kind then said[#said + 1] = kind .. printable(name[1], name[2]) end
  end
  return table.concat(said, ",")
end

local function judge(site, der)
  local read = read_certificate(der)
  return is_allowed(site, read), header_of(read)
end

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local DIGITS = {}
for i = 1, 64 do DIGITS[ALPHABET:byte(i)] = i - 1 end

local function decode_base64(text)
  local bytes, bits, count = {}, 0, 0
  for i = 1, #text do
    local digit = DIGITS[text:byte(i)]
    if digit then
      bits, count = bits * 64 + digit, count + 6
      if count >= 8 then
        count = count - 8
        local power = 2 ^ count
        bytes[#bytes + 1] = string.char(math.floor(bits / power))
        bits = bits % power
      end
    end
  end
  return table.concat(bytes)
end

-- The first certificate of a PEM text, as base64 in one line; nil: there is none.
local function base64_of(pem)
  local body = pem and pem:match("%-%-%-%-%-BEGIN CERTIFICATE%-%-%-%-%-(.-)%-%-%-%-%-END CERTIFICATE%-%-%-%-%-")
  return body and (body:gsub("%s", ""))
end

-- Allowed or not, the names for a header, and the certificate as RFC 9440 has it.
local function judge_pem(site, pem)
  local base64 = base64_of(pem)
  if not base64 then return false end
  local good, allowed, names = pcall(judge, site, decode_base64(base64))
  return good and allowed, good and names or "", ":" .. base64 .. ":"
end
