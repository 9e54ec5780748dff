/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Has the running kernel check the probes as if it had the types of another one: bpfload OBJECT [BTF]. Nothing is attached.
 * Prints the verifier's words and exits 1 if it does not take them.
 */
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>

static int say(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_DEBUG ? 0 : vfprintf(stderr, format, args);
}

int main(int argc, char **argv)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .btf_custom_path = argc > 2 ? argv[2] : NULL);
	struct bpf_object *object;
	int rc;

	if (argc < 2) {
		fprintf(stderr, "usage: bpfload OBJECT [BTF]\n");
		return 2;
	}
	libbpf_set_print(say);
	object = bpf_object__open_file(argv[1], &options);
	if (!object)
		return 1;
	rc = bpf_object__load(object);
	bpf_object__close(object);
	return rc ? 1 : 0;
}
