/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs a harness over files, without libFuzzer: replay-HARNESS FILE|DIRECTORY... What crashed is named last on stderr. */
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MOST (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char current[600];

static void name_current(int signal)
{
	if (write(STDERR_FILENO, "input: ", 7) + write(STDERR_FILENO, current, strlen(current)) + write(STDERR_FILENO, "\n", 1))
		raise(signal);
}

static void replay_file(const char *path)
{
	static uint8_t data[INPUT_MOST];
	FILE *f = fopen(path, "re");
	size_t size;

	snprintf(current, sizeof(current), "%s", path);
	size = f ? fread(data, 1, sizeof(data), f) : 0;
	if (!f || ferror(f) || size == sizeof(data)) {
		fprintf(stderr, "%s: cannot be read, or is larger than 1 MiB\n", path);
		exit(1);
	}
	fclose(f);
	/* Of its own size, so that ASan sees the first byte too many. */
	uint8_t *input = malloc(size ? size : 1);
	if (!input)
		exit(1);
	memcpy(input, data, size);
	LLVMFuzzerTestOneInput(input, size);
	free(input);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static unsigned int replay(const char *path)
{
	struct dirent **names;
	unsigned int done = 0;
	char file[512];
	int count = scandir(path, &names, NULL, by_name);

	if (count < 0) {
		replay_file(path);
		return 1;
	}
	for (int i = 0; i < count; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.') {
			replay_file(file);
			done++;
		}
		free(names[i]);
	}
	free(names);
	return done;
}

int main(int argc, char **argv)
{
	struct sigaction act = {.sa_handler = name_current, .sa_flags = SA_RESETHAND};
	unsigned int done = 0;

	sigaction(SIGABRT, &act, NULL);
#if !defined(__SANITIZE_ADDRESS__)
	sigaction(SIGSEGV, &act, NULL);
#endif
	for (int i = 1; i < argc; i++)
		done += replay(argv[i]);
	printf("%u inputs\n", done);
	return done ? 0 : 1;
}
