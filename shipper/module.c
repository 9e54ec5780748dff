/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel module's commands: see module.h. */
#include "module.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct tmk_module {
	struct nl_sock *socket;
	int family;
	int device;	/* -1: not opened yet */
	char said[200]; /* by the kernel, of what it refused */
	int refused;	/* errno of that */
	bool broken;	/* the socket is to be opened anew */
};

/* An answer, or one message of many. */
struct answer {
	struct nlattr *attrs[TIDEMARK_A_MAX + 1];
	bool lacks; /* something that was looked for */
};
typedef void taker(struct answer *answer, void *out);
struct asked {
	struct tmk_module *module;
	taker *take;
	void *out;
	bool done, answered, wrong;
};

/* ---- netlink ---- */

static int on_message(struct nl_msg *message, void *context)
{
	struct answer answer = {0};
	struct asked *a = context;

	if (!a->take)
		return NL_OK;
	if (genlmsg_parse(nlmsg_hdr(message), 0, answer.attrs, TIDEMARK_A_MAX, NULL))
		answer.lacks = true;
	else
		a->take(&answer, a->out);
	a->answered = true;
	a->wrong |= answer.lacks;
	return NL_OK;
}

static int on_end(struct nl_msg *message, void *context)
{
	struct asked *a = context;

	(void)message;
	a->done = true;
	return NL_STOP;
}

/* The kernel's own words lie behind the message that it refuses. */
static int on_error(struct sockaddr_nl *address, struct nlmsgerr *e, void *context)
{
	struct asked *a = context;
	struct nlmsghdr *h = (struct nlmsghdr *)((char *)e - NLMSG_HDRLEN);
	size_t skip = sizeof(*e) + (h->nlmsg_flags & NLM_F_CAPPED ? 0 : e->msg.nlmsg_len - NLMSG_HDRLEN);
	struct nlattr *words = NULL;

	(void)address;
	if (h->nlmsg_flags & NLM_F_ACK_TLVS && h->nlmsg_len > NLMSG_HDRLEN + skip)
		words = nla_find((struct nlattr *)((char *)e + skip), (int)(h->nlmsg_len - NLMSG_HDRLEN - skip),
				 NLMSGERR_ATTR_MSG);
	if (words)
		nla_strlcpy(a->module->said, words, sizeof(a->module->said));
	a->module->refused = e->error;
	a->done = true;
	return NL_STOP;
}

static struct nl_msg *begin(struct tmk_module *m, int command, int flags)
{
	struct nl_msg *message = nlmsg_alloc();

	if (message &&
	    !genlmsg_put(message, NL_AUTO_PORT, NL_AUTO_SEQ, m->family, 0, NLM_F_REQUEST | flags, command, TIDEMARK_ABI)) {
		nlmsg_free(message);
		return NULL;
	}
	return message;
}

static int reopen(struct tmk_module *m, struct tmk_error *err);

/* Sends and frees the message; `broken`: something did not fit into it. */
static int ask(struct tmk_module *m, struct nl_msg *message, int broken, taker *take, void *out, struct tmk_error *err)
{
	struct asked a = {.module = m, .take = take, .out = out};
	struct nl_cb *callbacks = nl_cb_alloc(NL_CB_DEFAULT);
	bool dump = message && nlmsg_hdr(message)->nlmsg_flags & NLM_F_DUMP;
	int rc = m->broken ? reopen(m, err) : 0;

	if (rc) {
		nlmsg_free(message);
		nl_cb_put(callbacks);
		return rc;
	}
	rc = !message || !callbacks || broken ? -NLE_NOMEM : nl_send_auto(m->socket, message);

	m->said[0] = '\0';
	m->refused = 0;
	if (rc >= 0) {
		nl_cb_set(callbacks, NL_CB_VALID, NL_CB_CUSTOM, on_message, &a);
		nl_cb_set(callbacks, NL_CB_ACK, NL_CB_CUSTOM, on_end, &a);
		nl_cb_set(callbacks, NL_CB_FINISH, NL_CB_CUSTOM, on_end, &a);
		nl_cb_err(callbacks, NL_CB_CUSTOM, on_error, &a);
		while (rc >= 0 && !a.done)
			rc = nl_recvmsgs(m->socket, callbacks);
	}
	nlmsg_free(message);
	nl_cb_put(callbacks);
	if (m->refused)
		return m->said[0] ? tmk_error_set(err, m->refused, "the kernel module: %s", m->said)
				  : tmk_error_sys(err, m->refused, "the kernel module refused");
	if (!a.done) {
		m->broken = true; /* what is left of the answer would pass for that of the next question */
		return tmk_error_set(err, -EIO, "the kernel module does not answer: %s", nl_geterror(rc));
	}
	if (a.wrong || (take && !dump && !a.answered))
		return tmk_error_set(
			err, -EBADMSG,
			"the kernel module's answer lacks something: install the same version of the module and of this "
			"program, and load it anew");
	return 0;
}

/* NULL if it is not there, or of another size. */
static struct nlattr *sized(struct answer *a, int which, int size)
{
	struct nlattr *attr = a->attrs[which];

	if (attr && nla_len(attr) == size)
		return attr;
	a->lacks = true;
	return NULL;
}

static uint64_t u64_of(struct answer *a, int which)
{
	struct nlattr *attr = sized(a, which, sizeof(uint64_t));

	return attr ? nla_get_u64(attr) : 0;
}

static uint32_t u32_of(struct answer *a, int which)
{
	struct nlattr *attr = sized(a, which, sizeof(uint32_t));

	return attr ? nla_get_u32(attr) : 0;
}

static void text_of(struct answer *a, int which, char *out, size_t size)
{
	out[0] = '\0';
	if (a->attrs[which])
		nla_strlcpy(out, a->attrs[which], size);
	else
		a->lacks = true;
}

/* ---- open ---- */

static void take_abi(struct answer *a, void *out)
{
	*(uint32_t *)out = u32_of(a, TIDEMARK_A_ABI);
}

static int claim(struct tmk_module *m, struct tmk_error *err)
{
	uint32_t abi = 0;
	int rc = ask(m, begin(m, TIDEMARK_CMD_CLAIM, NLM_F_ACK), 0, take_abi, &abi, err);

	if (rc)
		return rc;
	return abi == TIDEMARK_ABI
		       ? 0
		       : tmk_error_set(err, -EPROTONOSUPPORT,
				       "the kernel module is of another version (%u, this program needs %u): install the "
				       "same version of both, and load it anew",
				       abi, TIDEMARK_ABI);
}

static int dial(struct tmk_module *m, struct tmk_error *err)
{
	int one = 1, rc;

	m->socket = nl_socket_alloc();
	if (!m->socket)
		return tmk_error_sys(err, -ENOMEM, "cannot talk to the kernel module");
	rc = genl_connect(m->socket);
	if (rc < 0)
		return tmk_error_set(err, -EIO, "cannot talk to the kernel: %s", nl_geterror(rc));
	setsockopt(nl_socket_get_fd(m->socket), SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	m->family = genl_ctrl_resolve(m->socket, TIDEMARK_FAMILY);
	if (m->family == -NLE_OBJ_NOTFOUND)
		return tmk_error_set(err, -ENOENT, "the kernel module is not loaded: modprobe tidemark");
	if (m->family < 0)
		return tmk_error_set(err, -EIO, "cannot ask for the kernel module: %s", nl_geterror(m->family));
	return claim(m, err);
}

static int reopen(struct tmk_module *m, struct tmk_error *err)
{
	int rc;

	nl_socket_free(m->socket);
	m->broken = false;
	rc = dial(m, err);
	m->broken |= rc != 0;
	return rc;
}

int tmk_module_open(struct tmk_module **out, struct tmk_error *err)
{
	struct tmk_module *m = calloc(1, sizeof(*m));
	int rc;

	*out = NULL;
	if (!m)
		return tmk_error_sys(err, -ENOMEM, "cannot talk to the kernel module");
	m->device = -1;
	rc = dial(m, err);
	if (rc)
		tmk_module_close(m);
	else
		*out = m;
	return rc;
}

void tmk_module_close(struct tmk_module *m)
{
	if (!m)
		return;
	if (m->socket)
		nl_socket_free(m->socket);
	if (m->device >= 0)
		close(m->device);
	free(m);
}

/* ---- commands ---- */

static void take_attached(struct answer *a, void *out)
{
	*(struct tmk_module_attached *)out = (struct tmk_module_attached){
		.disk = u32_of(a, TIDEMARK_A_DISK),
		.fresh = a->attrs[TIDEMARK_A_FRESH],
		.block = u32_of(a, TIDEMARK_A_BLOCK),
	};
}

int tmk_module_attach(struct tmk_module *m, const struct tmk_module_disk *disk, struct tmk_module_attached *out,
		      struct tmk_error *err)
{
	struct nl_msg *q = begin(m, TIDEMARK_CMD_ATTACH, NLM_F_ACK);
	int broken = !q || nla_put(q, TIDEMARK_A_PROTECTION, 16, disk->protection) || nla_put(q, TIDEMARK_A_KEY, 16, disk->key) ||
		     nla_put_u32(q, TIDEMARK_A_FD, (uint32_t)disk->fd) ||
		     nla_put_string(q, TIDEMARK_A_IDENTITY, disk->identity) || nla_put_u64(q, TIDEMARK_A_RING, disk->ring) ||
		     (disk->block && nla_put_u32(q, TIDEMARK_A_BLOCK, disk->block));

	return ask(m, q, broken, take_attached, out, err);
}

int tmk_module_detach(struct tmk_module *m, uint32_t disk, struct tmk_error *err)
{
	struct nl_msg *q = begin(m, TIDEMARK_CMD_DETACH, NLM_F_ACK);

	return ask(m, q, !q || nla_put_u32(q, TIDEMARK_A_DISK, disk), NULL, NULL, err);
}

static void take_cut(struct answer *a, void *out)
{
	struct tmk_module_take *t = out;

	t->gap = u64_of(a, TIDEMARK_A_GAP);
	t->position = u64_of(a, TIDEMARK_A_POSITION);
}

static void take_taken(struct answer *a, void *out)
{
	struct tmk_module_take *t = out;

	take_cut(a, out);
	t->sequence = u64_of(a, TIDEMARK_A_SEQUENCE);
	t->blocks = u64_of(a, TIDEMARK_A_BLOCKS);
}

int tmk_module_take(struct tmk_module *m, const uint8_t protection[16], struct tmk_module_take *out, struct tmk_error *err)
{
	struct nl_msg *q = begin(m, TIDEMARK_CMD_TAKE, NLM_F_ACK);

	return ask(m, q, !q || nla_put(q, TIDEMARK_A_PROTECTION, 16, protection), take_taken, out, err);
}

int tmk_module_cut(struct tmk_module *m, const uint8_t protection[16], const uint8_t id[16], struct tmk_module_take *out,
		   struct tmk_error *err)
{
	struct nl_msg *q = begin(m, TIDEMARK_CMD_CUT, NLM_F_ACK);
	int broken = !q || nla_put(q, TIDEMARK_A_PROTECTION, 16, protection) || nla_put(q, TIDEMARK_A_ID, 16, id);

	return ask(m, q, broken, take_cut, out, err);
}

int tmk_module_release_log(struct tmk_module *m, const uint8_t protection[16], uint64_t position, struct tmk_error *err)
{
	struct nl_msg *q = begin(m, TIDEMARK_CMD_RELEASE, NLM_F_ACK);
	int broken = !q || nla_put(q, TIDEMARK_A_PROTECTION, 16, protection) || nla_put_u64(q, TIDEMARK_A_POSITION, position);

	return ask(m, q, broken, NULL, NULL, err);
}

int tmk_module_release(struct tmk_module *m, uint32_t disk, uint64_t sector, uint64_t sectors, struct tmk_error *err)
{
	struct nl_msg *q = begin(m, TIDEMARK_CMD_RELEASE, NLM_F_ACK);
	int broken = !q || nla_put_u32(q, TIDEMARK_A_DISK, disk) || nla_put_u64(q, TIDEMARK_A_SECTOR, sector) ||
		     nla_put_u64(q, TIDEMARK_A_SECTORS, sectors);

	return ask(m, q, broken, NULL, NULL, err);
}

int tmk_module_mark(struct tmk_module *m, uint32_t disk, uint64_t sector, uint64_t sectors, const char *reason,
		    struct tmk_error *err)
{
	struct nl_msg *q = begin(m, TIDEMARK_CMD_MARK, NLM_F_ACK);
	int broken = !q || nla_put_u32(q, TIDEMARK_A_DISK, disk) ||
		     (sectors && (nla_put_u64(q, TIDEMARK_A_SECTOR, sector) || nla_put_u64(q, TIDEMARK_A_SECTORS, sectors))) ||
		     (reason && nla_put_string(q, TIDEMARK_A_REASON, reason));

	return ask(m, q, broken, NULL, NULL, err);
}

static void take_position(struct answer *a, void *out)
{
	*(uint64_t *)out = u64_of(a, TIDEMARK_A_POSITION);
}

int tmk_module_log(struct tmk_module *m, const uint8_t protection[16], bool on, bool both, uint64_t *position,
		   struct tmk_error *err)
{
	struct nl_msg *q = begin(m, TIDEMARK_CMD_LOG, NLM_F_ACK);
	int broken = !q || nla_put(q, TIDEMARK_A_PROTECTION, 16, protection) || nla_put_u8(q, TIDEMARK_A_ON, on) ||
		     nla_put_u8(q, TIDEMARK_A_BOTH, both);

	return ask(m, q, broken, take_position, position, err);
}

static void take_cookie(struct answer *a, void *out)
{
	struct nlattr *attr = sized(a, TIDEMARK_A_COOKIE, TIDEMARK_COOKIE);

	if (attr)
		memcpy(out, nla_data(attr), TIDEMARK_COOKIE);
}

int tmk_module_cookie(struct tmk_module *m, const uint8_t protection[16], const uint8_t set[TIDEMARK_COOKIE],
		      uint8_t out[TIDEMARK_COOKIE], struct tmk_error *err)
{
	struct nl_msg *q = begin(m, TIDEMARK_CMD_COOKIE, NLM_F_ACK);
	int broken = !q || nla_put(q, TIDEMARK_A_PROTECTION, 16, protection) ||
		     (set && nla_put(q, TIDEMARK_A_COOKIE, TIDEMARK_COOKIE, set));

	return ask(m, q, broken, take_cookie, out, err);
}

/* ---- status ---- */

struct wanted {
	const uint8_t *protection;
	struct tmk_module_status *out;
	bool found;
};

static void take_status(struct answer *a, void *context)
{
	struct wanted *w = context;
	struct nlattr *id = sized(a, TIDEMARK_A_PROTECTION, 16), *on;

	if (a->attrs[TIDEMARK_A_DISK] || !id || memcmp(nla_data(id), w->protection, 16))
		return;
	on = sized(a, TIDEMARK_A_ON, 1);
	*w->out = (struct tmk_module_status){
		.gap = u64_of(a, TIDEMARK_A_GAP),
		.sequence = u64_of(a, TIDEMARK_A_SEQUENCE),
		.settled = u64_of(a, TIDEMARK_A_SETTLED),
		.ring = u64_of(a, TIDEMARK_A_RING),
		.head = u64_of(a, TIDEMARK_A_HEAD),
		.tail = u64_of(a, TIDEMARK_A_TAIL),
		.on = on && nla_get_u8(on),
	};
	text_of(a, TIDEMARK_A_REASON, w->out->reason, sizeof(w->out->reason));
	w->found = true;
}

int tmk_module_status(struct tmk_module *m, const uint8_t protection[16], struct tmk_module_status *out, struct tmk_error *err)
{
	struct wanted w = {.protection = protection, .out = out};
	int rc = ask(m, begin(m, TIDEMARK_CMD_STATUS, NLM_F_DUMP), 0, take_status, &w, err);

	return rc || w.found ? rc : tmk_error_set(err, -ENOENT, "the kernel module does not know this protection");
}

static void take_disk_status(struct answer *a, void *context)
{
	struct tmk_module_disk_status *s = context;
	uint32_t number;

	if (!a->attrs[TIDEMARK_A_DISK])
		return;
	number = u32_of(a, TIDEMARK_A_DISK);
	if (number >= TIDEMARK_DISKS) {
		a->lacks = true;
		return;
	}
	s[number] = (struct tmk_module_disk_status){
		.known = true,
		.start = u64_of(a, TIDEMARK_A_START),
		.sectors = u64_of(a, TIDEMARK_A_LENGTH),
		.writes = u64_of(a, TIDEMARK_A_WRITES),
		.block = u32_of(a, TIDEMARK_A_BLOCK),
		.flight = u32_of(a, TIDEMARK_A_FLIGHT),
		.diskseq = u64_of(a, TIDEMARK_A_DISKSEQ),
		.doubts = u64_of(a, TIDEMARK_A_GAP),
		.doubtful = a->attrs[TIDEMARK_A_DOUBTFUL],
	};
	if (sized(a, TIDEMARK_A_KEY, 16))
		memcpy(s[number].key, nla_data(a->attrs[TIDEMARK_A_KEY]), 16);
	text_of(a, TIDEMARK_A_REASON, s[number].reason, sizeof(s[number].reason));
}

int tmk_module_disks(struct tmk_module *m, struct tmk_module_disk_status out[TIDEMARK_DISKS], struct tmk_error *err)
{
	memset(out, 0, TIDEMARK_DISKS * sizeof(*out));
	return ask(m, begin(m, TIDEMARK_CMD_STATUS, NLM_F_DUMP), 0, take_disk_status, out, err);
}

/* ---- memory ---- */

int tmk_module_map(struct tmk_module *m, uint32_t disk, uint64_t what, size_t size, const void **out, struct tmk_error *err)
{
	void *at;

	if (m->device < 0)
		m->device = open("/dev/" TIDEMARK_DEVICE, O_RDONLY | O_CLOEXEC);
	if (m->device < 0)
		return tmk_error_sys(err, -errno, "cannot open /dev/" TIDEMARK_DEVICE);
	at = mmap(NULL, size, PROT_READ, MAP_SHARED, m->device, (off_t)((uint64_t)disk << TIDEMARK_MAP_SHIFT | what));
	if (at == MAP_FAILED)
		return tmk_error_sys(err, -errno, "cannot map the kernel module's memory");
	*out = at;
	return 0;
}
