// SPDX-License-Identifier: GPL-2.0
/*
 * Commands by generic netlink (tidemark_uapi.h). All are run one at a time, under tmk_core_lock; every attribute is checked
 * (I9), and what is refused is said in words (extended ack).
 */
#include <linux/blkdev.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <net/genetlink.h>

#include "compat.h"
#include "core.h"
#include "internal.h"

static struct genl_family family;
static bool listening; /* there is somebody who could be told */
static u32 owner;      /* port of the socket that has it; 0: nobody */

static const struct nla_policy policy[TIDEMARK_A_MAX + 1] = {
	[TIDEMARK_A_PROTECTION] = NLA_POLICY_EXACT_LEN(16),
	[TIDEMARK_A_KEY] = NLA_POLICY_EXACT_LEN(16),
	[TIDEMARK_A_FD] = {.type = NLA_U32},
	[TIDEMARK_A_IDENTITY] = {.type = NLA_NUL_STRING, .len = 127},
	[TIDEMARK_A_RING] = {.type = NLA_U64},
	[TIDEMARK_A_BLOCK] = {.type = NLA_U32},
	[TIDEMARK_A_DISK] = NLA_POLICY_MAX(NLA_U32, TIDEMARK_DISKS - 1),
	[TIDEMARK_A_POSITION] = {.type = NLA_U64},
	[TIDEMARK_A_SECTOR] = {.type = NLA_U64},
	[TIDEMARK_A_SECTORS] = {.type = NLA_U64},
	[TIDEMARK_A_REASON] = {.type = NLA_NUL_STRING, .len = TIDEMARK_REASON - 1},
	[TIDEMARK_A_ON] = NLA_POLICY_MAX(NLA_U8, 1),
	[TIDEMARK_A_BOTH] = NLA_POLICY_MAX(NLA_U8, 1),
	[TIDEMARK_A_COOKIE] = NLA_POLICY_EXACT_LEN(TIDEMARK_COOKIE),
	[TIDEMARK_A_ID] = NLA_POLICY_EXACT_LEN(16),
};

/* `why` is not copied. */
static int refuse(struct genl_info *info, int error, const char *why)
{
	if (info->extack)
		info->extack->_msg = why;
	return error;
}

/* ---- what commands need ---- */

static struct tmk_disk *disk_of(struct genl_info *info)
{
	struct nlattr *a = info->attrs[TIDEMARK_A_DISK];

	return a && nla_get_u32(a) < TIDEMARK_DISKS ? tmk_disks[nla_get_u32(a)] : NULL;
}

static struct tmk_protection *protection_of(struct genl_info *info)
{
	struct nlattr *a = info->attrs[TIDEMARK_A_PROTECTION];

	return a ? tmk_disk_protection(nla_data(a)) : NULL;
}

static int put_u64(struct sk_buff *skb, int attr, u64 value)
{
	return nla_put_u64_64bit(skb, attr, value, TIDEMARK_A_PAD);
}

static struct sk_buff *answer_begin(struct genl_info *info, void **header)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);

	*header = skb ? genlmsg_put_reply(skb, info, &family, 0, info->genlhdr->cmd) : NULL;
	if (skb && !*header) {
		nlmsg_free(skb);
		skb = NULL;
	}
	return skb;
}

static int answer_send(struct sk_buff *skb, void *header, struct genl_info *info, int ret)
{
	if (ret) {
		nlmsg_free(skb);
		return ret;
	}
	genlmsg_end(skb, header);
	return genlmsg_reply(skb, info);
}

/* ---- commands ---- */

static int claim(struct genl_info *info)
{
	struct sk_buff *skb;
	void *header;

	if (owner && owner != info->snd_portid)
		return refuse(info, -EBUSY, "another process has the tracker");
	skb = answer_begin(info, &header);
	if (!skb)
		return -ENOMEM;
	owner = info->snd_portid;
	return answer_send(skb, header, info, nla_put_u32(skb, TIDEMARK_A_ABI, TIDEMARK_ABI));
}

static int attach_bdev(struct genl_info *info, struct block_device *bdev, struct sk_buff *skb)
{
	struct nlattr **a = info->attrs;
	struct tmk_wanted want = {
		.protection = nla_data(a[TIDEMARK_A_PROTECTION]),
		.key = nla_data(a[TIDEMARK_A_KEY]),
		.identity = nla_data(a[TIDEMARK_A_IDENTITY]),
		.bdev = bdev,
		.ring = a[TIDEMARK_A_RING] ? nla_get_u64(a[TIDEMARK_A_RING]) : 0,
		.block = a[TIDEMARK_A_BLOCK] ? nla_get_u32(a[TIDEMARK_A_BLOCK]) : 0,
	};
	struct tmk_disk *d;
	const char *why;
	bool fresh;
	int ret = tmk_disk_attach(&want, &d, &fresh, &why);

	if (ret)
		return refuse(info, ret, why);
	if (nla_put_u32(skb, TIDEMARK_A_DISK, d->number) || (fresh && nla_put_flag(skb, TIDEMARK_A_FRESH)) ||
	    nla_put_u32(skb, TIDEMARK_A_BLOCK, tmk_map_block(&d->map)))
		return -EMSGSIZE;
	return 0;
}

static int attach(struct genl_info *info)
{
	struct nlattr **a = info->attrs;
	struct sk_buff *skb;
	struct file *file;
	void *header;
	int ret;

	if (!a[TIDEMARK_A_PROTECTION] || !a[TIDEMARK_A_KEY] || !a[TIDEMARK_A_FD] || !a[TIDEMARK_A_IDENTITY])
		return refuse(info, -EINVAL, "attach needs protection, key, fd and identity");
	file = fget(nla_get_u32(a[TIDEMARK_A_FD]));
	if (!file)
		return refuse(info, -EBADF, "no such descriptor");
	skb = answer_begin(info, &header);
	if (!skb)
		ret = -ENOMEM;
	else if (!S_ISBLK(file_inode(file)->i_mode))
		ret = refuse(info, -ENOTBLK, "the descriptor is not of a block device");
	else
		ret = attach_bdev(info, I_BDEV(file->f_mapping->host), skb);
	fput(file);
	return skb ? answer_send(skb, header, info, ret) : ret;
}

static int detach(struct genl_info *info)
{
	struct tmk_disk *d = disk_of(info);

	if (!d)
		return refuse(info, -ENODEV, "no such disk");
	tmk_disk_detach(d);
	return 0;
}

static int take(struct genl_info *info)
{
	struct tmk_protection *p = protection_of(info);
	struct tmk_taken taken;
	struct sk_buff *skb;
	void *header;

	if (!p)
		return refuse(info, -ENOENT, "no such protection");
	if (tmk_disk_asleep)
		return refuse(info, -EAGAIN, "the machine is being hibernated");
	skb = answer_begin(info, &header); /* before: a take that nobody hears of is one that has to be made again */
	if (!skb)
		return -ENOMEM;
	tmk_disk_take(p, &taken);
	return answer_send(skb, header, info,
			   put_u64(skb, TIDEMARK_A_GAP, taken.gap) || put_u64(skb, TIDEMARK_A_POSITION, taken.position) ||
					   put_u64(skb, TIDEMARK_A_SEQUENCE, taken.sequence) ||
					   put_u64(skb, TIDEMARK_A_BLOCKS, taken.blocks)
				   ? -EMSGSIZE
				   : 0);
}

static int cut(struct genl_info *info)
{
	struct tmk_protection *p = protection_of(info);
	u64 position = 0, gap;
	unsigned long flags;
	struct sk_buff *skb;
	void *header;
	int ret;

	if (!p || !info->attrs[TIDEMARK_A_ID])
		return refuse(info, p ? -EINVAL : -ENOENT, "cut needs a protection and an id");
	if (tmk_disk_asleep)
		return refuse(info, -EAGAIN, "the machine is being hibernated");
	skb = answer_begin(info, &header);
	if (!skb)
		return -ENOMEM;
	raw_spin_lock_irqsave(&p->lock, flags);
	ret = p->ring.on ? tmk_log_mark(p, nla_data(info->attrs[TIDEMARK_A_ID]), false, &position) : -ENOLINK;
	gap = p->gap;
	raw_spin_unlock_irqrestore(&p->lock, flags);
	if (ret)
		refuse(info, ret, "the log is off, or full");
	else if (put_u64(skb, TIDEMARK_A_GAP, gap) || put_u64(skb, TIDEMARK_A_POSITION, position))
		ret = -EMSGSIZE;
	return answer_send(skb, header, info, ret);
}

static bool range_of(struct genl_info *info, const struct tmk_disk *d, u64 *sector, u64 *sectors)
{
	struct nlattr **a = info->attrs;

	if (!a[TIDEMARK_A_SECTOR] || !a[TIDEMARK_A_SECTORS])
		return false;
	*sector = nla_get_u64(a[TIDEMARK_A_SECTOR]);
	*sectors = nla_get_u64(a[TIDEMARK_A_SECTORS]);
	return *sectors && *sector < d->sectors && *sectors <= d->sectors - *sector;
}

static int release(struct genl_info *info)
{
	struct tmk_protection *p = protection_of(info);
	struct tmk_disk *d = disk_of(info);
	u64 sector, sectors;
	int ret;

	if (p && info->attrs[TIDEMARK_A_POSITION]) {
		ret = tmk_log_release(p, nla_get_u64(info->attrs[TIDEMARK_A_POSITION]));
		return ret ? refuse(info, ret, "the log cannot be released up to there") : 0;
	}
	if (!d || !range_of(info, d, &sector, &sectors))
		return refuse(info, -EINVAL, "release needs a protection and a position, or a disk and a range that it has");
	tmk_map_release(&d->map, &d->protection->lock, sector, sectors, d->sectors);
	return 0;
}

static int mark(struct genl_info *info)
{
	struct tmk_disk *d = disk_of(info);
	struct nlattr *reason = info->attrs[TIDEMARK_A_REASON];
	u64 sector = 0, sectors = 0;
	unsigned long flags;

	if (!d)
		return refuse(info, -ENODEV, "no such disk");
	if (info->attrs[TIDEMARK_A_SECTOR] && !range_of(info, d, &sector, &sectors))
		return refuse(info, -EINVAL, "the disk does not have that range");
	tmk_map_mark_range(&d->map, &d->protection->lock, sector, sectors);
	raw_spin_lock_irqsave(&d->protection->lock, flags);
	if (sectors && reason)
		tmk_disk_gap_before(d->protection, nla_data(reason));
	else if (!sectors)
		tmk_disk_doubt(d, reason ? nla_data(reason) : "the shipper says so");
	raw_spin_unlock_irqrestore(&d->protection->lock, flags);
	tmk_disk_settle(d);
	return 0;
}

static int log_switch(struct genl_info *info)
{
	struct tmk_protection *p = protection_of(info);
	struct nlattr **a = info->attrs;
	struct sk_buff *skb;
	void *header;

	if (!p || !a[TIDEMARK_A_ON])
		return refuse(info, p ? -EINVAL : -ENOENT, "log needs a protection, and on or off");
	if (!p->ring.size)
		return refuse(info, -ENXIO, "the protection has no ring");
	skb = answer_begin(info, &header);
	if (!skb)
		return -ENOMEM;
	if (p->ring.on && !nla_get_u8(a[TIDEMARK_A_ON]))
		tmk_log_off(p, "the log was switched off");
	else if (nla_get_u8(a[TIDEMARK_A_ON]))
		tmk_log_on(p, a[TIDEMARK_A_BOTH] && nla_get_u8(a[TIDEMARK_A_BOTH]));
	return answer_send(skb, header, info, put_u64(skb, TIDEMARK_A_POSITION, p->ring.head));
}

static int cookie(struct genl_info *info)
{
	struct tmk_protection *p = protection_of(info);
	struct nlattr *set = info->attrs[TIDEMARK_A_COOKIE];
	struct sk_buff *skb;
	void *header;

	if (!p)
		return refuse(info, -ENOENT, "no such protection");
	if (set)
		memcpy(p->cookie, nla_data(set), sizeof(p->cookie));
	skb = answer_begin(info, &header);
	return skb ? answer_send(skb, header, info, nla_put(skb, TIDEMARK_A_COOKIE, sizeof(p->cookie), p->cookie)) : -ENOMEM;
}

static int (*const commands[])(struct genl_info *info) = {
	[TIDEMARK_CMD_CLAIM] = claim, [TIDEMARK_CMD_ATTACH] = attach,  [TIDEMARK_CMD_DETACH] = detach,
	[TIDEMARK_CMD_TAKE] = take,   [TIDEMARK_CMD_CUT] = cut,	       [TIDEMARK_CMD_RELEASE] = release,
	[TIDEMARK_CMD_MARK] = mark,   [TIDEMARK_CMD_LOG] = log_switch, [TIDEMARK_CMD_COOKIE] = cookie,
};

/* The flag of an operation asks for CAP_NET_ADMIN only. */
static int command(struct sk_buff *skb, struct genl_info *info)
{
	int ret;

	if (!netlink_capable(skb, CAP_SYS_ADMIN))
		return refuse(info, -EPERM, "needs CAP_SYS_ADMIN");
	mutex_lock(&tmk_core_lock);
	if (info->genlhdr->cmd != TIDEMARK_CMD_CLAIM && owner != info->snd_portid)
		ret = refuse(info, -EBUSY, owner ? "another process has the tracker" : "claim the tracker first");
	else
		ret = commands[info->genlhdr->cmd](info);
	mutex_unlock(&tmk_core_lock);
	return ret;
}

/* ---- status ---- */

static int protection_put(struct sk_buff *skb, struct tmk_protection *p)
{
	struct tmk_protection now;
	unsigned long flags;

	raw_spin_lock_irqsave(&p->lock, flags);
	now.gap = p->gap;
	now.sequence = p->sequence;
	now.ring = p->ring;
	memcpy(now.reason, p->reason, sizeof(now.reason));
	raw_spin_unlock_irqrestore(&p->lock, flags);
	return nla_put(skb, TIDEMARK_A_PROTECTION, 16, p->id) || put_u64(skb, TIDEMARK_A_GAP, now.gap) ||
			       nla_put_string(skb, TIDEMARK_A_REASON, now.reason) ||
			       put_u64(skb, TIDEMARK_A_SEQUENCE, now.sequence) ||
			       put_u64(skb, TIDEMARK_A_SETTLED, tmk_disk_settled(p)) ||
			       put_u64(skb, TIDEMARK_A_RING, now.ring.size) || nla_put_u8(skb, TIDEMARK_A_ON, now.ring.on) ||
			       put_u64(skb, TIDEMARK_A_HEAD, now.ring.head) || put_u64(skb, TIDEMARK_A_TAIL, now.ring.tail)
		       ? -EMSGSIZE
		       : 0;
}

static int disk_put(struct sk_buff *skb, struct tmk_disk *d)
{
	char reason[TIDEMARK_REASON];
	unsigned long flags;
	bool doubtful;
	u64 doubts;

	raw_spin_lock_irqsave(&d->protection->lock, flags);
	doubtful = d->doubtful;
	doubts = d->doubts;
	memcpy(reason, d->reason, sizeof(reason));
	raw_spin_unlock_irqrestore(&d->protection->lock, flags);

	return nla_put_u32(skb, TIDEMARK_A_DISK, d->number) || nla_put(skb, TIDEMARK_A_KEY, 16, d->key) ||
			       nla_put(skb, TIDEMARK_A_PROTECTION, 16, d->protection->id) ||
			       nla_put_u32(skb, TIDEMARK_A_BLOCK, tmk_map_block(&d->map)) ||
			       put_u64(skb, TIDEMARK_A_START, d->start) || put_u64(skb, TIDEMARK_A_LENGTH, d->sectors) ||
			       put_u64(skb, TIDEMARK_A_WRITES, READ_ONCE(d->writes)) ||
			       nla_put_u32(skb, TIDEMARK_A_FLIGHT, READ_ONCE(d->flights.count)) ||
			       put_u64(skb, TIDEMARK_A_DISKSEQ, d->diskseq) || put_u64(skb, TIDEMARK_A_GAP, doubts) ||
			       nla_put_string(skb, TIDEMARK_A_REASON, reason) ||
			       (doubtful && nla_put_flag(skb, TIDEMARK_A_DOUBTFUL))
		       ? -EMSGSIZE
		       : 0;
}

/* Protections, then disks; args[0]: how many of both were put already. */
static int status(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct tmk_protection *p;
	long at = 0;
	void *header;
	int i, ret = 0;

	if (!netlink_capable(cb->skb, CAP_SYS_ADMIN))
		return -EPERM;
	mutex_lock(&tmk_core_lock);
	list_for_each_entry(p, &tmk_protections, all) {
		if (at++ < cb->args[0])
			continue;
		header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &family, NLM_F_MULTI,
				     TIDEMARK_CMD_STATUS);
		ret = header ? protection_put(skb, p) : -EMSGSIZE;
		if (ret)
			goto full;
		genlmsg_end(skb, header);
		cb->args[0] = at;
	}
	for (i = 0; i < TIDEMARK_DISKS; i++) {
		if (!tmk_disks[i] || at++ < cb->args[0])
			continue;
		header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &family, NLM_F_MULTI,
				     TIDEMARK_CMD_STATUS);
		ret = header ? disk_put(skb, tmk_disks[i]) : -EMSGSIZE;
		if (ret)
			goto full;
		genlmsg_end(skb, header);
		cb->args[0] = at;
	}
full:
	if (ret && header)
		genlmsg_cancel(skb, header);
	mutex_unlock(&tmk_core_lock);
	return skb->len ?: ret;
}

/* ---- events: that something happened; what it was, STATUS says ---- */

static const struct genl_multicast_group groups[] = {{.name = TIDEMARK_EVENTS}};

static void tell(struct work_struct *work);
static DECLARE_DELAYED_WORK(telling, tell);

/* At most so often. */
void tmk_control_stirred(struct irq_work *work)
{
	schedule_delayed_work(&telling, HZ / 10);
}

static void tell(struct work_struct *work)
{
	struct tmk_protection *p;
	struct sk_buff *skb;
	void *header;

	mutex_lock(&tmk_core_lock);
	list_for_each_entry(p, &tmk_protections, all) {
		if (!xchg(&p->stirred, false) || !listening)
			continue;
		skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
		header = skb ? genlmsg_put(skb, 0, 0, &family, 0, TIDEMARK_CMD_STATUS) : NULL;
		if (!header || protection_put(skb, p)) { /* no memory: later */
			nlmsg_free(skb);
			WRITE_ONCE(p->stirred, true);
			tmk_control_stirred(NULL);
			continue;
		}
		genlmsg_end(skb, header);
		genlmsg_multicast(&family, skb, 0, 0, GFP_KERNEL);
	}
	mutex_unlock(&tmk_core_lock);
}

/* ---- the family ---- */

#define OP(c)                                                                                                                    \
	{                                                                                                                        \
		.cmd = TIDEMARK_CMD_##c, .doit = command, .flags = GENL_ADMIN_PERM                                               \
	}
static const struct genl_small_ops operations[] = {
	OP(CLAIM),   OP(ATTACH), OP(DETACH), OP(TAKE),	 OP(CUT),
	OP(RELEASE), OP(MARK),	 OP(LOG),    OP(COOKIE), {.cmd = TIDEMARK_CMD_STATUS, .dumpit = status, .flags = GENL_ADMIN_PERM},
};

static struct genl_family family = {
	.name = TIDEMARK_FAMILY,
	.version = TIDEMARK_ABI,
	.maxattr = TIDEMARK_A_MAX,
	.policy = policy,
	.module = THIS_MODULE,
	.parallel_ops = true, /* tmk_core_lock is what they wait for, and nobody else's commands */
	.small_ops = operations,
	.n_small_ops = ARRAY_SIZE(operations),
	.mcgrps = groups,
	.n_mcgrps = ARRAY_SIZE(groups),
	.resv_start_op = TIDEMARK_CMD_STATUS + 1,
};

static int released(struct notifier_block *block, unsigned long event, void *data)
{
	const struct netlink_notify *n = data;

	if (event != NETLINK_URELEASE || n->protocol != NETLINK_GENERIC || !net_eq(n->net, &init_net) ||
	    READ_ONCE(owner) != n->portid)
		return NOTIFY_DONE;
	mutex_lock(&tmk_core_lock);
	if (owner == n->portid)
		owner = 0;
	mutex_unlock(&tmk_core_lock);
	return NOTIFY_OK;
}
static struct notifier_block watcher = {.notifier_call = released};

int tmk_control_start(void)
{
	int ret = netlink_register_notifier(&watcher);

	if (ret)
		return ret;
	ret = genl_register_family(&family);
	if (ret)
		netlink_unregister_notifier(&watcher);
	listening = !ret;
	return ret;
}

void tmk_control_stop(void)
{
	mutex_lock(&tmk_core_lock);
	listening = false;
	mutex_unlock(&tmk_core_lock);
	genl_unregister_family(&family);
	netlink_unregister_notifier(&watcher);
}

void tmk_control_settle(void)
{
	cancel_delayed_work_sync(&telling);
}
