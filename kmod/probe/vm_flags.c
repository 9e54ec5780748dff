/* SPDX-License-Identifier: GPL-2.0 */
/* How flags of a mapping are cleared: by a function, or as they are. */
#include <linux/mm.h>

void probe(struct vm_area_struct *vma);
void probe(struct vm_area_struct *vma)
{
#if defined(TRY_YES)
	(void)vma->vm_start;
#elif defined(TRY_NO)
	vma->no_such_member = 1;
#elif defined(TRY_VM_FLAGS_CLEAR)
	vm_flags_clear(vma, VM_MAYWRITE);
#elif defined(TRY_VM_FLAGS_PLAIN)
	vma->vm_flags &= ~VM_MAYWRITE;
#endif
}
