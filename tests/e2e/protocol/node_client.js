// SPDX-License-Identifier: MIT
//
// A dialogue with the `ws` module of Node.js: ana the original's way, bob by ragnarok.v2.
//
//     NODE_PATH=/usr/share/nodejs node node_client.js URL PASSWORD [CERTIFICATE]
//
// Prints each message that was received as a line "NAME JSON", in the order in which the story
// below waited for it; test_node_client.py judges them. Ends with 1, and says why, if one does not come.
'use strict';

const fs = require('fs');
const WebSocket = require('ws');

const [url, password, certificate] = process.argv.slice(2);
const timeout = 10000 * Number(process.env.TEST_TIME_SCALE || 1);

class Member {
    constructor(name, protocols) {
        this.name = name;
        this.messages = [];
        const options = certificate ? { ca: fs.readFileSync(certificate) } : {};
        this.socket = new WebSocket(url, protocols, options);
        this.socket.on('message', (data, isBinary) => {
            if (isBinary)
                fail(`${name} got a binary message`);
            this.messages.push(data.toString());
            this.arrived?.();
        });
        this.socket.on('error', fail);
        this.opened = new Promise((resolve) => this.socket.once('open', resolve));
        this.closed = new Promise((resolve) => this.socket.once('close', resolve));
    }

    // Waits for the next message, prints it, and returns it parsed.
    async hear() {
        while (this.messages.length === 0)
            await new Promise((resolve) => { this.arrived = resolve; });
        const text = this.messages.shift();
        console.log(`${this.name} ${text}`);
        return JSON.parse(text);
    }

    say(message) {
        this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
    }
}

function fail(why) {
    console.error(why);
    process.exit(1);
}

async function story() {
    const ana = new Member('ana', []);
    await ana.opened;
    ana.say(password);
    ana.say('ana');
    await ana.hear(); // ServerName
    await ana.hear(); // OnlineUsers

    const bob = new Member('bob', ['ragnarok.v2']);
    await bob.hear(); // Hello
    bob.say({ msgType: 'Join', Password: password, Name: 'bob' });
    await bob.hear(); // Joined
    await bob.hear(); // OnlineUsers
    await ana.hear(); // OnlineUsers

    ana.say({ msgType: 'Broadcast', SrcUser: 'ana', TgtUser: '', text: 'from node with love' });
    await ana.hear();
    await bob.hear();
    bob.say({ msgType: 'PrivateMessage', TgtUser: 'ana', text: 'between two nodes', Ref: 7 });
    await ana.hear();
    await bob.hear(); // Delivered

    const long = 'x'.repeat(60000);
    bob.say({ msgType: 'Broadcast', text: long });
    await ana.hear();
    await bob.hear();

    bob.socket.close(1000, 'bye');
    console.log(`bob closed ${await bob.closed}`);
    await ana.hear(); // OnlineUsers
    ana.socket.close();
    console.log(`ana closed ${await ana.closed}`);
}

setTimeout(() => fail('waited too long'), timeout).unref();
story().catch(fail);
