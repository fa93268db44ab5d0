#include "config.h"
#include "log.h"
#include "server.h"
#include "variant.h"
#include "version.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

/* Bad arguments or configuration: starting again does not help. */
enum { EXIT_USAGE = 2 };

static const char usage[] = "Usage: greeter --config FILE [--port N] [--check]\n"
                            "       greeter --version | --help\n"
                            "\n"
                            "  --config FILE  key = value lines\n"
                            "  --port N       instead of the file's port; 0: any free one\n"
                            "  --check        read the configuration and end: 0 good, 2 bad\n";

struct arguments {
    const char *config_path;
    const char *port;
    bool check;
};

static _Noreturn void end_with(FILE *file, const char *text, int status)
{
    fputs(text, file);
    exit(status);
}

static struct arguments read_arguments(int count, char **words)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"port", required_argument, NULL, 'p'},
        {"check", no_argument, NULL, 'k'},        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    struct arguments arguments = {NULL, NULL, false};
    for (int option; (option = getopt_long(count, words, "", options, NULL)) != -1;) {
        switch (option) {
        case 'c': arguments.config_path = optarg; break;
        case 'p': arguments.port = optarg; break;
        case 'k': arguments.check = true; break;
        case 'v': printf("greeter %s, build %s\n", program_version(), program_build()); exit(EXIT_SUCCESS);
        case 'h': end_with(stdout, usage, EXIT_SUCCESS);
        default: end_with(stderr, usage, EXIT_USAGE);
        }
    }
    if (optind < count || !arguments.config_path)
        end_with(stderr, usage, EXIT_USAGE);
    return arguments;
}

static struct config read_config(const struct arguments *arguments)
{
    struct config config;
    char error[CONFIG_ERROR_MAX];
    config_set_defaults(&config);
    if (!config_load(&config, arguments->config_path, error)) {
        log_line("%s", error);
        exit(EXIT_USAGE);
    }
    if (arguments->port && !parse_number(arguments->port, 0, 65535, &config.port)) {
        log_line("Cannot use --port \"%s\": needs a whole number from 0 to 65535", arguments->port);
        exit(EXIT_USAGE);
    }
    return config;
}

int main(int count, char **words)
{
    struct arguments arguments = read_arguments(count, words);
    struct config config = read_config(&arguments);
    if (arguments.check)
        return EXIT_SUCCESS;

    log_line("greeter %s, build %s", program_version(), program_build());
    variant_at_start();
    return server_run(&config);
}
