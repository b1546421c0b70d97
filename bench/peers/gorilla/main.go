// SPDX-License-Identifier: MIT

// The benchmark's peer in Go, with the library gorilla/websocket.
//
// As the library's authors advise: a hub that alone knows who is there, and for each client a
// goroutine that reads, a goroutine that writes, and a channel between hub and writer; a client
// whose channel is full is dropped; what goes to many is a PreparedMessage; write buffers come
// from a pool. The list of who is online is state: only the newest waits for a client.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"sort"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	queueMax   = 1024    // messages that may wait for a client
	messageMax = 1 << 21 // bytes of a message from a client
	writeWait  = 10 * time.Second
	pongWait   = 60 * time.Second
	pingPeriod = pongWait * 9 / 10
)

type request struct {
	MsgType string `json:"msgType"`
	TgtUser string
	Text    string `json:"text"`
}

type broadcast struct {
	MsgType string `json:"msgType"`
	SrcUser string
	TgtUser string
	Text    string `json:"text"`
	ID      uint64 `json:"Id"`
	Time    int64
}

type private struct {
	MsgType string `json:"msgType"`
	SrcUser string
	Text    string `json:"text"`
	Time    int64
}

type onlineUsers struct {
	MsgType string `json:"msgType"`
	Users   []string
}

// A message on its way out: prepared when it is for many, plain when it is for one.
type outgoing struct {
	prepared *websocket.PreparedMessage
	text     []byte
}

type client struct {
	hub   *hub
	name  string
	conn  *websocket.Conn
	send  chan *outgoing
	users chan *outgoing // the newest list; at most one
}

type said struct {
	by *client
	request
}

type hub struct {
	presence time.Duration // how long changes are gathered before everybody gets the new list
	members  map[string]*client
	lastID   uint64
	join     chan *client
	leave    chan *client
	said     chan said
	announce <-chan time.Time // nil: no list is due
}

func forOne(message interface{}) *outgoing {
	text, err := json.Marshal(message)
	if err != nil {
		log.Fatal(err) // only types that always have a JSON form come here
	}
	return &outgoing{text: text}
}

func forMany(message interface{}) *outgoing {
	prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, forOne(message).text)
	if err != nil {
		log.Fatal(err)
	}
	return &outgoing{prepared: prepared}
}

// ---- The hub ----

func (h *hub) run() {
	for {
		select {
		case c := <-h.join:
			h.enter(c)
		case c := <-h.leave:
			h.drop(c)
		case s := <-h.said:
			h.relay(s)
		case <-h.announce:
			h.tell()
		}
	}
}

func (h *hub) enter(c *client) {
	if h.members[c.name] != nil {
		close(c.send)
		return
	}
	h.members[c.name] = c
	c.send <- forOne(struct{ ServerName string }{"gorilla"})
	h.changed()
}

func (h *hub) drop(c *client) {
	if h.members[c.name] == c {
		delete(h.members, c.name)
		close(c.send)
		h.changed()
	}
}

// changed gives everybody the list, at once or when more have come or gone.
func (h *hub) changed() {
	if h.presence == 0 {
		h.tell()
	} else if h.announce == nil {
		h.announce = time.After(h.presence)
	}
}

func (h *hub) tell() {
	h.announce = nil
	users := make([]string, 0, len(h.members))
	for name := range h.members {
		users = append(users, name)
	}
	sort.Strings(users)
	list := forMany(onlineUsers{"OnlineUsers", users})
	for _, c := range h.members {
		select {
		case <-c.users: // an older one that still waits
		default:
		}
		c.users <- list
	}
}

func (h *hub) sendTo(c *client, message *outgoing) {
	select {
	case c.send <- message:
	default:
		h.drop(c)
	}
}

func (h *hub) relay(s said) {
	now := time.Now().UnixMilli()
	switch s.MsgType {
	case "Broadcast":
		h.lastID++
		message := forMany(broadcast{"Broadcast", s.by.name, "", s.Text, h.lastID, now})
		for _, c := range h.members {
			h.sendTo(c, message)
		}
	case "PrivateMessage":
		if target := h.members[s.TgtUser]; target != nil {
			h.sendTo(target, forOne(private{"PrivateMessage", s.by.name, s.Text, now}))
		}
	}
}

// ---- A client's two goroutines ----

func (c *client) read() {
	defer func() {
		c.hub.leave <- c
		c.conn.Close()
	}()
	for {
		var r request
		if c.conn.ReadJSON(&r) != nil {
			return
		}
		c.hub.said <- said{c, r}
	}
}

func (c *client) write() {
	ticker := time.NewTicker(pingPeriod)
	defer func() {
		ticker.Stop()
		c.conn.Close()
	}()
	if c.deliver(<-c.send) != nil { // the greeting comes before any list
		return
	}
	for {
		var err error
		select {
		case message := <-c.send:
			err = c.deliver(message)
		case list := <-c.users:
			err = c.deliver(list)
		case <-ticker.C:
			c.conn.SetWriteDeadline(time.Now().Add(writeWait))
			err = c.conn.WriteMessage(websocket.PingMessage, nil)
		}
		if err != nil {
			return
		}
	}
}

// deliver writes one message; nil stands for the closed channel of a client that was dropped.
func (c *client) deliver(message *outgoing) error {
	c.conn.SetWriteDeadline(time.Now().Add(writeWait))
	if message == nil {
		c.conn.WriteMessage(websocket.CloseMessage, nil)
		return websocket.ErrCloseSent
	}
	if message.prepared != nil {
		return c.conn.WritePreparedMessage(message.prepared)
	}
	return c.conn.WriteMessage(websocket.TextMessage, message.text)
}

// greet takes the two frames: the password, and any will do, and the name.
func (c *client) greet() {
	c.conn.SetReadLimit(messageMax)
	c.conn.SetReadDeadline(time.Now().Add(pongWait))
	c.conn.SetPongHandler(func(string) error {
		return c.conn.SetReadDeadline(time.Now().Add(pongWait))
	})
	_, _, err := c.conn.ReadMessage()
	if err == nil {
		var name []byte
		_, name, err = c.conn.ReadMessage()
		c.name = string(name)
	}
	if err != nil {
		c.conn.Close()
		return
	}
	c.hub.join <- c
	go c.write()
	c.read()
}

func main() {
	port := flag.Int("port", 0, "port; 0: any")
	secure := flag.Bool("tls", false, "speak TLS")
	cert := flag.String("cert", "", "certificate")
	key := flag.String("key", "", "private key")
	presence := flag.Int("presence", 0, "milliseconds over which comings and goings are gathered")
	flag.Parse()

	h := &hub{
		presence: time.Duration(*presence) * time.Millisecond,
		members:  map[string]*client{},
		join:     make(chan *client),
		leave:    make(chan *client),
		said:     make(chan said),
	}
	go h.run()
	upgrader := websocket.Upgrader{
		ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: &sync.Pool{},
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return // Upgrade has answered
		}
		c := &client{
			hub: h, conn: conn, send: make(chan *outgoing, queueMax), users: make(chan *outgoing, 1),
		}
		go c.greet() // not here: what the handler holds of the request can go
	})

	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	if *secure {
		server := http.Server{TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
		err = server.ServeTLS(listener, *cert, *key)
	} else {
		err = http.Serve(listener, nil)
	}
	log.Fatal(err)
}
