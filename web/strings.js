// SPDX-License-Identifier: MIT
//
// Every word that the page says, in English and in Simplified Chinese. A row is a text, or a function
// that makes one. `t.KEY` is the row in the reader's language; reason() has words for every code that
// can come from the server, from the line, or from a private conversation.

const many = (n, one, more = `${one}s`) => `${n} ${n === 1 ? one : more}`;

export const TABLE = {
  en: {
    sentences: (...all) => all.filter(Boolean).join(" "),

    // Joining
    welcome: "A chatroom. Pick a name and talk.",
    join: "Join", joining: "One moment…", yourName: "Your name", password: "Password",
    roomNamed: (room) => `Room: ${room}`,
    insecure: "This page came over http. Others in the network can read along, and private messages cannot be encrypted.",
    insecureTry: "If the server has TLS, open this instead:",
    nameEmpty: "Please type a name.",
    nameLong: (n) => `A name has 32 characters at most; this one has ${n}.`,
    nameInvisible: "The name holds invisible characters (some emoji do, too). Please leave them out.",

    // The room
    people: "People", room: "Room", messages: "Messages", newest: "New messages",
    privateMessages: "Private messages",
    hereNow: "Here now", conversations: "Private", findPerson: "Find a name",
    online: (n) => `${n} online`, you: "you", notHere: "not here",
    talkTo: (name) => `Private conversation with ${name}`,
    unread: (n) => many(n, "unread message"), newMessages: (n) => many(n, "new message"),
    empty: "Nothing has been said here yet.",
    writeToRoom: "Write to everyone", writePrivate: "Write in private", send: "Send", close: "Close",
    showAll: "Show all", showLess: "Show less", retry: "Try again", discard: "Discard",
    sending: "Sending…", sent: "Sent", failed: "Not sent", unreadByOther: "Could not be read",
    bytesLeft: (n) => `${many(n, "byte")} left`, bytesOver: (n) => `${many(n, "byte")} too long`,
    missed: "Some of what was said while you were away is no longer kept by the server.",
    restarted: "The server or the room was started anew. What was said in between may be missing here.",
    unknownArrival: "The connection was lost; nobody can tell whether it arrived.",

    // The line
    offline: "You are offline. What you write is sent when the network is back.",
    waiting: "The connection was lost. Trying again…", connecting: "Connecting…",
    taken: "You opened this room elsewhere under the same name. This page is paused.",
    useHere: "Use it here", tryNow: "Try now",
    nameGone: "Your name is in use here, perhaps still by your old connection. Trying again…",

    // Private conversations
    asking: "Asking for keys…", none: "Not encrypted", encrypted: "Encrypted",
    verified: "Encrypted, compared", changed: "Key changed", forged: "Keys do not match",
    canBeRead: "Whoever runs the server can read what is written here.",
    noKeys: (name) => `${name} has no keys, so nothing here can be encrypted.`,
    noKeysHere: "This browser has no keys here, so nothing can be encrypted.",
    keysGone: (name) => `${name} had keys before and has none now. It may be another program, or another person.`,
    allowPlain: "Write without encryption", plainAllowed: "You chose to write without encryption.",
    keyChanged: (name) => `The key of ${name} is not the one that you know. It may be a new browser or device, or somebody else. Sending waits until you accept it.`,
    verifiedChanged: (name) => `Careful: you had compared numbers with ${name}, and now the key is another one. Ask ${name} in person or by phone before you accept it.`,
    keyWaiting: (n) => `${many(n, "message waits", "messages wait")} until then.`,
    keysForged: (name) => `The keys that the server gives for ${name} fail their check. Somebody, perhaps the server, is cheating. Nothing is sent.`,
    acceptKey: "Accept the new key", compareFirst: "Compare first", compare: "Compare safety numbers",
    plainMark: "Not encrypted", plainMarkLoud: "NOT encrypted, although this person has a key",
    nowEncrypted: "Encrypted from here on.", keyAccepted: "You accepted the new key.",
    couldNotRead: "A message could not be read.", gap: (n) => `${many(n, "message")} did not arrive.`,
    leftRoom: (name) => `${name} is not here now.`,
    reports: (name, why) => `${name} reports: ${why}`,
    notAccepted: (name) => `${name} has not accepted your new key yet.`,
    safetyNumber: "Safety number",
    safetyHow: (name) => `Compare these numbers with those that ${name} sees, side by side or on the phone. If they are the same, nobody stands between you.`,
    safetyOffered: (name) => `These are the numbers for the NEW key of ${name}. Compare them before you accept it.`,
    verify: "We compared, it matches", unverify: "No longer trust this",
    qrSafety: "The safety number as a QR code",
    memory: "This browser keeps no data here: keys and what you compared are forgotten when the tab is closed.",
    browser: "This browser cannot encrypt private messages; a newer one can.",

    // Sheets
    invite: "Invite", inviteHow: "Whoever opens this link, or scans this code, comes to this room.",
    link: "Link", copy: "Copy", copied: "Copied", qrInvite: "The link as a QR code",
    invitePassword: "Put the password into the link", inviteNote: "Then whoever sees the link can come in.",
    inviteLocal: "This address works on this machine only. Open the page under the machine's address in the network to invite others.",
    trust: "If their browser warns of the certificate", noQr: "The QR code could not be made.",
    settings: "Settings",
    notify: "Notifications", notifyNote: "For private messages and mentions, while you look elsewhere.",
    notifyDenied: "The browser was told not to allow them. Its settings for this page can change that.",
    notifyUnable: "This browser cannot show them for this page.",
    aboutTitle: "What private means here",
    aboutKept: "Private messages are encrypted between the two of you. The server passes them on and cannot read them. Messages to the room are not encrypted.",
    aboutNot: "The server still sees who writes to whom, when, and how much. And it serves this page: one that means harm could serve a page that betrays you. The terminal client does not depend on that.",
    namedAs: (name) => `You are ${name}`, leave: "Leave the room",
    privateFrom: (name) => `${name} (private)`, privateArrived: "A private message",

    // Why: codes of errors, of closed lines, and of failures
    wrong_password: "That is not the password.",
    throttled: "Too many wrong passwords came from your address. Please wait a few minutes.",
    password_needed: "This room needs a password.",
    name_taken: "Somebody here has that name already. Please take another one.",
    bad_name: "That name is not allowed: 1 to 32 characters, none of them invisible.",
    room_full: "The room is full. Please try again later.",
    too_many_rooms: "The server has no place for another room. Please come to one that exists.",
    shutting_down: "The server is being stopped. Please try again later.",
    bad_proof: "The server did not accept the proof of your key. Please try again.",
    unknown_user: "Not here any more.", too_long: "Too long.",
    too_fast: "That was too fast. Please wait a moment.",
    full: "The server is full. Please try again later.",
    busy: "Too many connections come from your address. Close some, or try again later.",
    bad_room: "A room cannot have this name. Please check the address.",
    not_let_in: "The server is there but refused the connection. It may be full, or not know the address that you opened, or something in between does not pass WebSockets on.",
    unreachable: "The server cannot be reached. It may be stopped, the network may be down, or the browser does not trust its certificate.",
    1001: "The server is being stopped. Trying again until it is back…",
    1002: "The server did not understand this page. Reloading it may help.",
    1008: "The server closed the connection.",
    1009: "A message was too long for the server. Coming back…",
    1013: "The connection was too slow, or the server is short of memory. Coming back…",
    no_keys: "There are no keys to encrypt it with.",
    key_changed: "Its key has not been accepted.",
    too_many: "Too many messages wait already.", lost: "The connection was lost.",
    cannot_seal: "It could not be encrypted.", malformed: "It was damaged.",
    stale_key: "It was for an earlier connection, and is sent again by itself.",
    bad_signature: "Its signature is false.", replayed: "It came a second time.",
    cannot_open: "It could not be decrypted.",
    otherwise: (code, text) => `Something went wrong (${code}${text ? `: ${text}` : ""}).`,
  },

  "zh-Hans": {
    sentences: (...all) => all.join(""),

    welcome: "一个聊天室。起个名字，聊起来。",
    join: "加入", joining: "请稍候…", yourName: "你的名字", password: "密码",
    roomNamed: (room) => `房间：${room}`,
    insecure: "此页面通过 http 打开：同一网络中的其他人可以看到内容，私聊也无法加密。",
    insecureTry: "如果服务器支持 TLS，请改用：",
    nameEmpty: "请输入名字。",
    nameLong: (n) => `名字最多 32 个字符，现在有 ${n} 个。`,
    nameInvisible: "名字中有不可见字符（有些表情符号也有），请去掉。",

    people: "成员", room: "房间", messages: "消息", newest: "新消息", privateMessages: "私聊消息",
    hereNow: "在线成员", conversations: "私聊", findPerson: "查找名字",
    online: (n) => `${n} 人在线`, you: "你", notHere: "不在线",
    talkTo: (name) => `与 ${name} 私聊`,
    unread: (n) => `${n} 条未读消息`, newMessages: (n) => `${n} 条新消息`,
    empty: "这里还没有消息。",
    writeToRoom: "对所有人说", writePrivate: "私下说", send: "发送", close: "关闭",
    showAll: "显示全部", showLess: "收起", retry: "重试", discard: "放弃",
    sending: "正在发送…", sent: "已发送", failed: "未发送", unreadByOther: "对方无法读取",
    bytesLeft: (n) => `还可输入 ${n} 字节`, bytesOver: (n) => `超出 ${n} 字节`,
    missed: "你离开期间的部分消息，服务器已不再保留。",
    restarted: "服务器或房间已重新启动，其间的消息可能缺失。",
    unknownArrival: "连接已断开，无法得知是否送达。",

    offline: "你已离线。你写的内容会在网络恢复后发送。",
    waiting: "连接已断开，正在重试…", connecting: "正在连接…",
    taken: "你已用同一名字在别处打开此房间，本页面已暂停。",
    useHere: "在这里使用", tryNow: "立即重试",
    nameGone: "你的名字在这里已被使用，也许是你的旧连接。正在重试…",

    asking: "正在获取密钥…", none: "未加密", encrypted: "已加密",
    verified: "已加密，已核对", changed: "密钥已更改", forged: "密钥校验失败",
    canBeRead: "运行服务器的人可以读到这里的内容。",
    noKeys: (name) => `${name} 没有密钥，这里无法加密。`,
    noKeysHere: "此浏览器在这里没有密钥，无法加密。",
    keysGone: (name) => `${name} 以前有密钥，现在没有了。可能换了程序，也可能是另一个人。`,
    allowPlain: "不加密也要发送", plainAllowed: "你选择了不加密发送。",
    keyChanged: (name) => `${name} 的密钥与你所知的不同。可能换了浏览器或设备，也可能是别人。在你接受之前不会发送。`,
    verifiedChanged: (name) => `请小心：你曾与 ${name} 核对过安全码，而现在密钥变了。接受之前，请当面或打电话向 ${name} 确认。`,
    keyWaiting: (n) => `有 ${n} 条消息在等待。`,
    keysForged: (name) => `服务器给出的 ${name} 的密钥未通过校验。有人在作弊，也许就是服务器。不会发送任何内容。`,
    acceptKey: "接受新密钥", compareFirst: "先核对", compare: "核对安全码",
    plainMark: "未加密", plainMarkLoud: "未加密，尽管此人有密钥",
    nowEncrypted: "从这里开始已加密。", keyAccepted: "你接受了新密钥。",
    couldNotRead: "有一条消息无法读取。", gap: (n) => `有 ${n} 条消息没有送达。`,
    leftRoom: (name) => `${name} 现在不在这里。`,
    reports: (name, why) => `${name} 报告：${why}`,
    notAccepted: (name) => `${name} 还没有接受你的新密钥。`,
    safetyNumber: "安全码",
    safetyHow: (name) => `请与 ${name} 当面或通过电话核对这些数字。如果相同，你们之间就没有第三者。`,
    safetyOffered: (name) => `这是 ${name} 的新密钥的安全码。请在接受之前核对。`,
    verify: "我们核对过，一致", unverify: "不再信任",
    qrSafety: "安全码的二维码",
    memory: "此浏览器不在这里保存数据：关闭标签页后，密钥和核对结果都会丢失。",
    browser: "此浏览器无法加密私聊，请使用较新的浏览器。",

    invite: "邀请", inviteHow: "打开此链接或扫描此二维码，即可来到这个房间。",
    link: "链接", copy: "复制", copied: "已复制", qrInvite: "链接的二维码",
    invitePassword: "把密码放进链接", inviteNote: "这样，任何看到链接的人都能进来。",
    inviteLocal: "此地址只在本机有效。要邀请别人，请用本机在网络中的地址打开此页面。",
    trust: "如果对方的浏览器提示证书有问题", noQr: "无法生成二维码。",
    settings: "设置",
    notify: "通知", notifyNote: "当你在看别处时，有私聊或有人提到你会通知你。",
    notifyDenied: "浏览器已被设为不允许通知，可在此页面的设置中更改。",
    notifyUnable: "此浏览器无法为此页面显示通知。",
    aboutTitle: "这里的“私聊”意味着什么",
    aboutKept: "私聊在你们两人之间加密，服务器只负责转发，无法读取。房间里的消息不加密。",
    aboutNot: "服务器仍能看到谁在什么时候给谁写了多少。而且这个页面由服务器提供：怀有恶意的服务器可能提供出卖你的页面。终端客户端则不依赖于此。",
    namedAs: (name) => `你是 ${name}`, leave: "离开房间",
    privateFrom: (name) => `${name}（私聊）`, privateArrived: "一条私聊消息",

    wrong_password: "密码不对。",
    throttled: "来自你的地址的错误密码太多，请等几分钟再试。",
    password_needed: "这个房间需要密码。",
    name_taken: "这里已经有人用了这个名字，请换一个。",
    bad_name: "不允许这个名字：1 到 32 个字符，不能有不可见字符。",
    room_full: "房间已满，请稍后再试。",
    too_many_rooms: "服务器没有更多房间的位置，请去已有的房间。",
    shutting_down: "服务器正在关闭，请稍后再试。",
    bad_proof: "服务器没有接受你的密钥证明，请重试。",
    unknown_user: "对方已不在这里。", too_long: "太长了。",
    too_fast: "太快了，请稍等。",
    full: "服务器已满，请稍后再试。",
    busy: "来自你的地址的连接太多。请关闭一些，或稍后再试。",
    bad_room: "房间不能使用这个名字，请检查地址。",
    not_let_in: "服务器在，但拒绝了连接。它可能已满，或不认识你打开的地址，或中间设备不转发 WebSocket。",
    unreachable: "无法连接服务器。可能服务器已停止、网络断开，或浏览器不信任其证书。",
    1001: "服务器正在关闭，正在重试直到它恢复…",
    1002: "服务器无法理解此页面，重新加载也许有用。",
    1008: "服务器关闭了连接。",
    1009: "有一条消息对服务器来说太长，正在恢复连接…",
    1013: "连接太慢，或服务器内存不足，正在恢复连接…",
    no_keys: "没有可用于加密的密钥。",
    key_changed: "它的密钥还没有被接受。",
    too_many: "等待的消息已经太多。", lost: "连接已断开。",
    cannot_seal: "无法加密。", malformed: "内容已损坏。",
    stale_key: "它是发给之前的连接的，会自动重发。",
    bad_signature: "签名不正确。", replayed: "它是重复的。",
    cannot_open: "无法解密。",
    otherwise: (code, text) => `出错了（${code}${text ? `：${text}` : ""}）。`,
  },
};

const SAME = { throttled: "too_fast", 1003: 1002, 1007: 1002 };

/** Of the reader's languages the first that the table has, and the name that it has there. */
export function pickLanguage(languages) {
  const locale = languages.find((tag) => /^(en|zh)(-[a-z\d]{2,8})*$/iu.test(tag)) ?? "en";
  return { locale, language: /^zh/iu.test(locale) ? "zh-Hans" : "en" };
}

export const { locale, language } = pickLanguage(globalThis.navigator?.languages ?? []);
export const t = TABLE[language];

/** Words for a code; `text` is what the server said, for codes that the table does not have. */
export function reason(code, text) {
  const words = t[SAME[code] ?? code];
  return typeof words === "string" ? words : t.otherwise(code, text);
}
