// SPDX-License-Identifier: MIT
//
// The benchmark's peer in JavaScript, with the library `ws` on Node.
//
// As the library's README advises: permessage-deflate off, and a broadcast is a walk over the
// clients that sends the same buffer to each that is open.
'use strict';

const fs = require('fs');
const http = require('http');
const https = require('https');
const { parseArgs } = require('util');
const { WebSocket, WebSocketServer } = require('ws');

const BACKLOG = 1024; // connections that wait to be accepted

const { values: options } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    tls: { type: 'boolean', default: false },
    cert: { type: 'string' },
    key: { type: 'string' },
    presence: { type: 'string', default: '0' },
  },
});

const presenceMs = Number(options.presence);
const members = new Map();
let lastId = 0;
let announcing = false;

function send(socket, buffer) {
  if (socket.readyState === WebSocket.OPEN) socket.send(buffer, { binary: false });
}

function sendToAll(message) {
  const buffer = Buffer.from(JSON.stringify(message));
  for (const socket of members.values()) send(socket, buffer);
}

function announce() {
  announcing = false;
  sendToAll({ msgType: 'OnlineUsers', Users: [...members.keys()].sort() });
}

// Someone came or left: everybody gets the list, at once or when more have gathered.
function changed() {
  if (presenceMs === 0) {
    announce();
  } else if (!announcing) {
    announcing = true;
    setTimeout(announce, presenceMs);
  }
}

const handlers = {
  Broadcast(name, { text }) {
    sendToAll({
      msgType: 'Broadcast', SrcUser: name, TgtUser: '', text, Id: ++lastId, Time: Date.now(),
    });
  },
  PrivateMessage(name, { TgtUser, text }) {
    const target = members.get(TgtUser);
    const message = { msgType: 'PrivateMessage', SrcUser: name, text, Time: Date.now() };
    if (target) send(target, Buffer.from(JSON.stringify(message)));
  },
};

function enter(socket, name) {
  if (members.has(name)) {
    socket.close(1008, 'the name is taken');
    return;
  }
  socket.send(JSON.stringify({ ServerName: 'ws' }));
  members.set(name, socket);
  socket.on('message', (data) => {
    const message = JSON.parse(data);
    if (Object.hasOwn(handlers, message.msgType)) handlers[message.msgType](name, message);
  });
  socket.on('close', () => {
    members.delete(name);
    changed();
  });
  changed();
}

const server = options.tls
  ? https.createServer({ cert: fs.readFileSync(options.cert), key: fs.readFileSync(options.key) })
  : http.createServer();

new WebSocketServer({ server, perMessageDeflate: false }).on('connection', (socket) => {
  socket.on('error', () => {}); // 'close' follows
  // The first frame is the password, and any will do; the second is the name.
  socket.once('message', () => socket.once('message', (data) => enter(socket, String(data))));
});

server.listen({ port: Number(options.port), host: '127.0.0.1', backlog: BACKLOG }, () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`);
});
