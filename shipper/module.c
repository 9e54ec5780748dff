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
};

/* An answer, or one message of many. */
typedef void taker(struct nlattr **attrs, void *out);
struct asked {
	struct tmk_module *module;
	taker *take;
	void *out;
	bool done;
};

/* ---- netlink ---- */

static int on_message(struct nl_msg *message, void *context)
{
	struct nlattr *attrs[TIDEMARK_A_MAX + 1];
	struct asked *a = context;

	if (!genlmsg_parse(nlmsg_hdr(message), 0, attrs, TIDEMARK_A_MAX, NULL) && a->take)
		a->take(attrs, a->out);
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

/* Sends and frees the message; `broken`: something did not fit into it. */
static int ask(struct tmk_module *m, struct nl_msg *message, int broken, taker *take, void *out, struct tmk_error *err)
{
	struct asked a = {.module = m, .take = take, .out = out};
	struct nl_cb *callbacks = nl_cb_alloc(NL_CB_DEFAULT);
	int rc = !message || !callbacks || broken ? -NLE_NOMEM : nl_send_auto(m->socket, message);

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
	return a.done ? 0 : tmk_error_set(err, -EIO, "the kernel module does not answer: %s", nl_geterror(rc));
}

static uint64_t u64_of(struct nlattr **attrs, int which)
{
	return attrs[which] ? nla_get_u64(attrs[which]) : 0;
}

static uint32_t u32_of(struct nlattr **attrs, int which)
{
	return attrs[which] ? nla_get_u32(attrs[which]) : 0;
}

/* ---- open ---- */

static void take_abi(struct nlattr **attrs, void *out)
{
	*(uint32_t *)out = u32_of(attrs, TIDEMARK_A_ABI);
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
	if (m->family < 0)
		return tmk_error_set(err, -ENOENT, "the kernel module is not loaded: modprobe tidemark");
	return claim(m, err);
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

static void take_attached(struct nlattr **attrs, void *out)
{
	struct tmk_module_attached *a = out;

	a->disk = u32_of(attrs, TIDEMARK_A_DISK);
	a->fresh = attrs[TIDEMARK_A_FRESH];
}

int tmk_module_attach(struct tmk_module *m, const struct tmk_module_disk *disk, struct tmk_module_attached *out,
		      struct tmk_error *err)
{
	struct nl_msg *q = begin(m, TIDEMARK_CMD_ATTACH, NLM_F_ACK);
	int broken = !q || nla_put(q, TIDEMARK_A_PROTECTION, 16, disk->protection) || nla_put(q, TIDEMARK_A_KEY, 16, disk->key) ||
		     nla_put_u32(q, TIDEMARK_A_FD, (uint32_t)disk->fd) ||
		     nla_put_string(q, TIDEMARK_A_IDENTITY, disk->identity) || nla_put_u64(q, TIDEMARK_A_RING, disk->ring) ||
		     nla_put_u32(q, TIDEMARK_A_BLOCK, disk->block);

	return ask(m, q, broken, take_attached, out, err);
}

int tmk_module_detach(struct tmk_module *m, uint32_t disk, struct tmk_error *err)
{
	struct nl_msg *q = begin(m, TIDEMARK_CMD_DETACH, NLM_F_ACK);

	return ask(m, q, !q || nla_put_u32(q, TIDEMARK_A_DISK, disk), NULL, NULL, err);
}

static void take_taken(struct nlattr **attrs, void *out)
{
	*(struct tmk_module_take *)out = (struct tmk_module_take){
		.gap = u64_of(attrs, TIDEMARK_A_GAP),
		.position = u64_of(attrs, TIDEMARK_A_POSITION),
		.sequence = u64_of(attrs, TIDEMARK_A_SEQUENCE),
		.blocks = u64_of(attrs, TIDEMARK_A_BLOCKS),
	};
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

	return ask(m, q, broken, take_taken, out, err);
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

static void take_position(struct nlattr **attrs, void *out)
{
	*(uint64_t *)out = u64_of(attrs, TIDEMARK_A_POSITION);
}

int tmk_module_log(struct tmk_module *m, const uint8_t protection[16], bool on, bool both, uint64_t *position,
		   struct tmk_error *err)
{
	struct nl_msg *q = begin(m, TIDEMARK_CMD_LOG, NLM_F_ACK);
	int broken = !q || nla_put(q, TIDEMARK_A_PROTECTION, 16, protection) || nla_put_u8(q, TIDEMARK_A_ON, on) ||
		     nla_put_u8(q, TIDEMARK_A_BOTH, both);

	return ask(m, q, broken, take_position, position, err);
}

static void take_cookie(struct nlattr **attrs, void *out)
{
	if (attrs[TIDEMARK_A_COOKIE] && nla_len(attrs[TIDEMARK_A_COOKIE]) == TIDEMARK_COOKIE)
		memcpy(out, nla_data(attrs[TIDEMARK_A_COOKIE]), TIDEMARK_COOKIE);
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
	const uint8_t *protection; /* or NULL: */
	uint32_t disk;
	void *out;
	bool found;
};

static void take_status(struct nlattr **attrs, void *context)
{
	struct wanted *w = context;
	struct tmk_module_status *s = w->out;

	if (attrs[TIDEMARK_A_DISK] || !attrs[TIDEMARK_A_PROTECTION] || nla_len(attrs[TIDEMARK_A_PROTECTION]) != 16 ||
	    memcmp(nla_data(attrs[TIDEMARK_A_PROTECTION]), w->protection, 16))
		return;
	*s = (struct tmk_module_status){
		.gap = u64_of(attrs, TIDEMARK_A_GAP),
		.sequence = u64_of(attrs, TIDEMARK_A_SEQUENCE),
		.settled = u64_of(attrs, TIDEMARK_A_SETTLED),
		.ring = u64_of(attrs, TIDEMARK_A_RING),
		.head = u64_of(attrs, TIDEMARK_A_HEAD),
		.tail = u64_of(attrs, TIDEMARK_A_TAIL),
		.on = attrs[TIDEMARK_A_ON] && nla_get_u8(attrs[TIDEMARK_A_ON]),
	};
	if (attrs[TIDEMARK_A_REASON])
		nla_strlcpy(s->reason, attrs[TIDEMARK_A_REASON], sizeof(s->reason));
	w->found = true;
}

static void take_disk_status(struct nlattr **attrs, void *context)
{
	struct wanted *w = context;

	if (!attrs[TIDEMARK_A_DISK] || nla_get_u32(attrs[TIDEMARK_A_DISK]) != w->disk)
		return;
	*(struct tmk_module_disk_status *)w->out = (struct tmk_module_disk_status){
		.start = u64_of(attrs, TIDEMARK_A_START),
		.sectors = u64_of(attrs, TIDEMARK_A_LENGTH),
		.now = u64_of(attrs, TIDEMARK_A_NOW),
		.taken = u64_of(attrs, TIDEMARK_A_BLOCKS),
		.writes = u64_of(attrs, TIDEMARK_A_WRITES),
		.block = u32_of(attrs, TIDEMARK_A_BLOCK),
		.flight = u32_of(attrs, TIDEMARK_A_FLIGHT),
		.diskseq = u64_of(attrs, TIDEMARK_A_DISKSEQ),
	};
	w->found = true;
}

static int dump(struct tmk_module *m, taker *take, struct wanted *w, struct tmk_error *err)
{
	int rc = ask(m, begin(m, TIDEMARK_CMD_STATUS, NLM_F_DUMP), 0, take, w, err);

	return rc || w->found ? rc : tmk_error_set(err, -ENOENT, "the kernel module does not know it");
}

int tmk_module_status(struct tmk_module *m, const uint8_t protection[16], struct tmk_module_status *out, struct tmk_error *err)
{
	return dump(m, take_status, &(struct wanted){.protection = protection, .out = out}, err);
}

int tmk_module_disk_status(struct tmk_module *m, uint32_t disk, struct tmk_module_disk_status *out, struct tmk_error *err)
{
	return dump(m, take_disk_status, &(struct wanted){.disk = disk, .out = out}, err);
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
