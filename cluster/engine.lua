-- SPDX-License-Identifier: MIT
--
-- engine.lua - the only writer of a room in the engine (Redis or Valkey). It runs as one step:
-- nothing of a call takes effect, or all of it. Every outcome is an entry of the room's log, which
-- all nodes read, so an answer may be lost.
--
-- KEYS  1 log    stream: the entries
--       2 room   hash: epoch, id (last Id of a broadcast), n (number of the last entry), bytes (of
--                the log since the mark), mark and mark_n (where the next trim ends), cut (number
--                of the first entry that was not trimmed), keep (ms), rules
--       3 who    hash: name -> "seat tag identity card"; tag is the seq of the join
--       4 seats  hash: seat -> when its lease ends, in ms of the engine's clock
--       5 turns  hash: seat -> seq of its last call
-- ARGV  1 call   2 seat   3 seq, or 0   4 limit of the log in bytes   5.. as said at each call
--
-- An entry: k kind, s seat, q seq, n number, and what the kind needs:
--   b i Id, d body              broadcast
--   j f name, y identity, o seat and tag that it replaces, or nothing, d card     join
--   l f name, t tag             leave
--   p f name, t its seat, d body   private message; the receiver deletes it
--   r d code                    the call was refused
--   a t seat, i seq, d code     what became of the private message of that seat with that seq
--   x d seat                    that seat is over, and all of its members have left
--   e d epoch                   the engine lost something: all nodes load the room again
local log, room, who, seats, turns = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local op, seat, seq, limit = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local call = redis.call

local ENTRY_BYTES = 200 -- of an entry, besides its long fields

local function now()
    local time = call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function number(field)
    return tonumber(call('HGET', room, field) or '0')
end

local function keep_all(ms)
    for i = 1, #KEYS do call('PEXPIRE', KEYS[i], ms) end
end

-- Removes the fields of a hash. (DEL is not among the commands that a node needs otherwise.)
local function clear(key)
    local all = call('HGETALL', key)
    for i = 1, #all, 2 do call('HDEL', key, all[i]) end
end

-- ---- Entries ------------------------------------------------------------------------------------

-- Keeps between one and two limits of log.
local function trim(bytes, at, n)
    if call('HINCRBY', room, 'bytes', bytes) <= limit then return end
    local mark = call('HGET', room, 'mark')
    if mark then
        call('XTRIM', log, 'MINID', mark)
        call('HSET', room, 'cut', call('HGET', room, 'mark_n'))
    end
    call('HSET', room, 'mark', at, 'mark_n', n, 'bytes', 0)
end

-- The engine does not permit the entry: nothing of the call may have taken effect, so that it does when it is
-- sent again. (A full engine refuses the first write already.)
local function undo(kind, err)
    call('HINCRBY', room, 'n', -1)
    if kind == 'b' then call('HINCRBY', room, 'id', -1) end
    if seq > 0 then call('HSET', turns, seat, seq - 1) end
    error(err)
end

-- Comes before all other changes of a call, but for its seq and Id.
local function add(kind, bytes, ...)
    local n = call('HINCRBY', room, 'n', 1)
    local at = redis.pcall('XADD', log, '*', 'k', kind, 's', seat, 'q', seq, 'n', n, ...)
    if type(at) == 'table' then undo(kind, at.err) end
    if n == 1 then call('PEXPIRE', log, number('keep')) end -- the key is new
    trim(ENTRY_BYTES + bytes, at, n)
end

local function owner(value)
    return string.match(value, '^(%S+) (%S+) (%S+) ')
end

-- A seat is over: its members leave.
local function retire(gone)
    local people = call('HGETALL', who)
    add('x', 0, 'd', gone)
    for i = 1, #people, 2 do
        if owner(people[i + 1]) == gone then call('HDEL', who, people[i]) end
    end
    call('HDEL', seats, gone)
    call('HDEL', turns, gone)
end

-- ---- Positions ----------------------------------------------------------------------------------

-- Of an entry: its number, and "kind:seat:seq".
local function number_of(entry) return tonumber(entry[2][8]) end
local function tag_of(entry) return entry[2][2] .. ':' .. entry[2][4] .. ':' .. entry[2][6] end

-- Whether the log still has what a node has read, up to the entry at `at` with number `n`. OK;
-- BEHIND: what comes next was trimmed; ROLLED: something that the node has read was lost. A private
-- message may be gone, because its receiver has deleted it: then its neighbours tell by their
-- numbers. A node that has no position says "-".
local function compare(at, n, tag)
    if at == '-' then return 'OK' end -- it has read nothing
    if number('n') < n then return 'ROLLED' end
    if n + 1 < number('cut') then return 'BEHIND' end
    if at == '0-0' or n < number('cut') then return 'OK' end
    local same = call('XRANGE', log, at, at)[1]
    if same then
        return (number_of(same) == n and tag_of(same) == tag) and 'OK' or 'ROLLED'
    end
    if string.sub(tag, 1, 2) ~= 'p:' then return 'ROLLED' end
    local before = call('XREVRANGE', log, at, '-', 'COUNT', 1)[1]
    local after = call('XRANGE', log, at, '+', 'COUNT', 1)[1]
    if before and number_of(before) >= n or after and number_of(after) <= n then return 'ROLLED' end
    return 'OK'
end

-- ---- Calls without a seq ------------------------------------------------------------------------

-- lease keep epoch rules sweep at n tag -> state epoch id n, last entry, its number and tag, who
if op == 'open' then
    local time = now()
    local known, fresh = call('HGET', room, 'rules'), not call('HGET', room, 'epoch')
    if known and known ~= ARGV[8] then
        local all = call('HGETALL', seats)
        for i = 2, #all, 2 do
            if ARGV[9] ~= '1' or tonumber(all[i]) >= time then return {'RULES', known} end
        end
        fresh = true -- nobody is left who follows the old rules
    end
    if fresh then -- also when only some of the keys have expired
        call('XTRIM', log, 'MAXLEN', 0)
        clear(who)
        clear(seats)
        clear(turns)
        call('HDEL', room, 'mark', 'mark_n', 'bytes')
        call('HSET', room, 'epoch', ARGV[7], 'rules', ARGV[8], 'cut', number('n') + 1, 'beaten', time)
    end
    call('HSET', seats, seat, time + ARGV[5])
    call('HSETNX', turns, seat, 0) -- so after a repeated open no call takes effect twice
    call('HSET', room, 'keep', ARGV[6])
    keep_all(ARGV[6])
    local state = compare(ARGV[10], tonumber(ARGV[11]), ARGV[12])
    local last = call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
    return {state, call('HGET', room, 'epoch'), number('id'), number('n'),
            last and last[1] or '0-0', last and number_of(last) or number('n'),
            last and tag_of(last) or '-', call('HGETALL', who)}
end

if call('HEXISTS', seats, seat) == 0 then return {'FENCED'} end

-- lease keep sweep done at n tag -> state epoch. `done` is the last seq that was answered.
-- Seats that are over are removed with `sweep`, but not for a whole lease after a time in which nobody beat:
-- then the engine was away, and the others have not had the time to renew theirs.
if op == 'beat' then
    local time, lease = now(), tonumber(ARGV[5])
    if time - number('beaten') > lease / 2 then call('HSET', room, 'late', time) end
    call('HSET', room, 'beaten', time, 'keep', ARGV[6])
    call('HSET', seats, seat, time + lease)
    local all = call('HGETALL', seats)
    for i = 1, #all, 2 do
        if ARGV[7] == '1' and tonumber(all[i + 1]) < time and time - number('late') >= lease then retire(all[i]) end
    end
    keep_all(ARGV[6])
    local state = compare(ARGV[9], tonumber(ARGV[10]), ARGV[11])
    if tonumber(call('HGET', turns, seat) or '0') < tonumber(ARGV[8]) then state = 'ROLLED' end
    return {state, call('HGET', room, 'epoch') or ''}
end

-- epoch_seen new_epoch -> epoch. Of several nodes that notice, the first makes the new epoch.
if op == 'renew' then
    if call('HGET', room, 'epoch') == ARGV[5] then
        add('e', 0, 'd', ARGV[6])
        call('HSET', room, 'epoch', ARGV[6])
    end
    return {'OK', call('HGET', room, 'epoch') or ''}
end

if op == 'close' then
    retire(seat)
    return {'OK'}
end

-- ---- Calls with a seq: each takes effect once, in order, however often it is sent ---------------

local last = tonumber(call('HGET', turns, seat) or '0')
if seq <= last then return {'DUP'} end
if seq ~= last + 1 then return {'GAP', last} end
-- First, because a full engine refuses this, and then nothing has changed.
call('HSET', turns, seat, seq)

if op == 'say' then -- body
    add('b', #ARGV[5], 'i', call('HINCRBY', room, 'id', 1), 'd', ARGV[5])
    return {'OK'}
end

if op == 'tell' then -- name body
    local value = call('HGET', who, ARGV[5])
    if value then
        add('p', #ARGV[6] + #ARGV[5], 'f', ARGV[5], 't', (owner(value)), 'd', ARGV[6])
    else
        add('r', 0, 'd', 'unknown_user')
    end
    return {'OK'}
end

if op == 'join' then -- name identity card
    local name, identity, replaced = ARGV[5], ARGV[6], ''
    local value = call('HGET', who, name)
    if value then
        local seat2, tag2, identity2 = owner(value)
        local same = identity ~= '-' and identity == identity2
        if not same and call('HEXISTS', seats, seat2) == 1 then
            add('r', 0, 'd', 'name_taken')
            return {'OK'}
        end
        replaced = seat2 .. ' ' .. tag2
    end
    add('j', #name + #ARGV[7], 'f', name, 'y', identity, 'o', replaced, 'd', ARGV[7])
    call('HSET', who, name, seat .. ' ' .. ARGV[3] .. ' ' .. identity .. ' ' .. ARGV[7])
    call('PEXPIRE', who, number('keep')) -- the key may be new
    return {'OK'}
end

if op == 'publish' then -- name identity card tag
    local value, seat2, tag2 = call('HGET', who, ARGV[5])
    if value then seat2, tag2 = owner(value) end
    if seat2 == seat and tag2 == ARGV[8] then
        add('j', #ARGV[5] + #ARGV[7], 'f', ARGV[5], 'y', ARGV[6], 'o', seat2 .. ' ' .. tag2, 'd', ARGV[7])
        call('HSET', who, ARGV[5], seat .. ' ' .. ARGV[3] .. ' ' .. ARGV[6] .. ' ' .. ARGV[7])
    else
        add('r', 0, 'd', 'unknown_user')
    end
    return {'OK'}
end

if op == 'answer' then -- place of the private message, its seat, its seq, code
    add('a', 0, 't', ARGV[6], 'i', ARGV[7], 'd', ARGV[8])
    call('XDEL', log, ARGV[5])
    return {'OK'}
end

if op == 'leave' then -- name tag
    local value = call('HGET', who, ARGV[5])
    if value then
        local seat2, tag2 = owner(value)
        if seat2 == seat and tag2 == ARGV[6] then
            add('l', #ARGV[5], 'f', ARGV[5], 't', ARGV[6])
            call('HDEL', who, ARGV[5])
        end
    end
    return {'OK'}
end

return redis.error_reply('ERR unknown call')
