/* checkpoint.h - for this room only: names that the files about checkpoints share. */
#ifndef C2C_TRAIN_CHECKPOINT_H
#define C2C_TRAIN_CHECKPOINT_H

#include "base/base.h"

/* folder/checkpoint-<step>, to be freed; NULL when out of memory. */
char *checkpoint_path(const char *folder, int64_t step);

#endif
