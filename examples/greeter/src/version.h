#pragma once

/* The version that the build was given. */
const char *program_version(void);

/* The build id that the linker wrote into this executable, in hexadecimal: `readelf -n` shows the same. */
const char *program_build(void);
