/* Passes frames to Silhouette from C and Swift: planes by address, masks and images into the caller's memory.
 *
 * Objects (segmenter, video, live, segmentation) are identified by raw() of the corresponding uniffi objects, which must
 * stay alive during the call. The targets of pointers are used only during the call. Functions return 0 (SILHOUETTE_OK)
 * or the kind of error, whose texts are written to *failure unless that is NULL. They can be called from any thread and
 * never unwind. */
#ifndef SILHOUETTE_FRAME_H
#define SILHOUETTE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Kinds of error. */
enum {
  SILHOUETTE_OK = 0,
  SILHOUETTE_INVALID_FRAME = 1,
  SILHOUETTE_INVALID_MODEL = 2,
  SILHOUETTE_UNSUPPORTED = 3,
  SILHOUETTE_CLOSED = 4,
  SILHOUETTE_INTERNAL = 5
};

/* An error: its kind and its texts, UTF-8, truncated at a character if too long, ending in 0. */
typedef struct SilhouetteFailure {
  int32_t kind;
  char reason[512];
  char advice[256];
} SilhouetteFailure;

/* Pixel formats. Chroma of the YUV formats is (width + 1) / 2 by (height + 1) / 2 samples. */
enum {
  SILHOUETTE_RGB8 = 0,
  SILHOUETTE_RGBA8 = 1,
  SILHOUETTE_BGRA8 = 2,
  SILHOUETTE_GRAY8 = 3,
  SILHOUETTE_YUV420 = 4, /* three planes with any pixel strides */
  SILHOUETTE_NV12 = 5,   /* luma; U and V interleaved */
  SILHOUETTE_NV21 = 6,   /* luma; V and U interleaved */
  /* With alpha, which the formats above ignore: hidden pixels count as black, and images made from the frame keep its
   * alpha. */
  SILHOUETTE_RGBA8_STRAIGHT = 7,
  SILHOUETTE_BGRA8_STRAIGHT = 8,
  SILHOUETTE_RGBA8_PREMULTIPLIED = 9, /* colours are already multiplied by alpha */
  SILHOUETTE_BGRA8_PREMULTIPLIED = 10
};

enum { SILHOUETTE_BT601 = 0, SILHOUETTE_BT709 = 1 };
enum { SILHOUETTE_RANGE_VIDEO = 0, SILHOUETTE_RANGE_FULL = 1 };

/* Bytes of one plane. It needs (rows - 1) * row_stride + (columns - 1) * pixel_stride + a sample's bytes, no more. */
typedef struct SilhouettePlane {
  const uint8_t *data; /* NULL: an absent plane */
  size_t length;
  size_t row_stride;
  size_t pixel_stride; /* used only for SILHOUETTE_YUV420 */
} SilhouettePlane;

/* A buffer from a camera or decoder, and how it becomes upright: rotated, then mirrored, then cropped to the region. */
typedef struct SilhouetteFrame {
  SilhouettePlane planes[3];
  uint32_t format;
  uint32_t width; /* of the buffer */
  uint32_t height;
  uint32_t matrix; /* YUV only */
  uint32_t range;  /* YUV only */
  uint32_t rotation; /* clockwise degrees that make the buffer upright: 0, 90, 180, 270 */
  uint32_t mirror;   /* 1: mirrored horizontally after rotation */
  uint32_t region_x; /* in the upright image; width and height 0: all of it */
  uint32_t region_y;
  uint32_t region_width;
  uint32_t region_height;
} SilhouetteFrame;

/* Effects. */
enum {
  SILHOUETTE_PICTURE = 0, /* the frame unchanged, upright */
  SILHOUETTE_OVERLAY = 1, /* the foreground's classes in their colours */
  SILHOUETTE_CUTOUT = 2,
  SILHOUETTE_BLUR = 3,
  SILHOUETTE_REPLACE = 4
};

typedef struct SilhouetteEffect {
  uint32_t kind;
  uint32_t all_classes;    /* 1: the foreground is every class but the background (class 0) */
  const uint32_t *classes; /* otherwise these; NULL: none */
  size_t class_count;
  const SilhouetteFrame *background; /* SILHOUETTE_REPLACE: the background image */
  float strength; /* overlay: opacity, 0 to 1; blur: deviation as a share of the longer side, 0 to 0.5; negative: the default */
  uint32_t bgra;  /* 1: writes B, G, R, A; 0: R, G, B, A */
  uint32_t premultiplied; /* 1: colours are multiplied by alpha */
} SilhouetteEffect;

#if UINTPTR_MAX == 0xffffffffffffffffu && !defined(__cplusplus)
_Static_assert(sizeof(SilhouettePlane) == 32 && sizeof(SilhouetteFrame) == 144 && sizeof(SilhouetteEffect) == 48,
               "the sizes in the library");
#endif

/* Segments a frame into a segmentation. */
int32_t silhouette_segment(uint64_t segmenter, const SilhouetteFrame *frame, uint64_t segmentation,
                           SilhouetteFailure *failure);

/* Segments the next frame of a video; timestamp is in nanoseconds from an arbitrary origin. */
int32_t silhouette_segment_video(uint64_t video, const SilhouetteFrame *frame, uint64_t timestamp, uint64_t segmentation,
                                 SilhouetteFailure *failure);

/* Submits a frame to a live stream, which copies it; *replaced (may be NULL): whether it replaced a waiting frame. */
int32_t silhouette_submit(uint64_t live, const SilhouetteFrame *frame, uint64_t timestamp, bool *replaced,
                          SilhouetteFailure *failure);

/* Copies the mask: one class per pixel. out needs (height - 1) * row_stride + width bytes. */
int32_t silhouette_mask(uint64_t segmentation, uint8_t *out, size_t length, size_t row_stride,
                        SilhouetteFailure *failure);

/* Copies the confidence that each pixel belongs to one of the classes, 0 to 255, at the mask's size. */
int32_t silhouette_confidence(uint64_t segmentation, const uint32_t *classes, size_t class_count, uint8_t *out,
                              size_t length, size_t row_stride, SilhouetteFailure *failure);

/* Writes a frame with an effect at the size of its region, four bytes per pixel; frame NULL: the one that a live result
 * keeps. out needs (height - 1) * row_stride + 4 * width bytes. */
int32_t silhouette_effect(uint64_t segmentation, const SilhouetteFrame *frame, const SilhouetteEffect *effect,
                          uint8_t *out, size_t length, size_t row_stride, SilhouetteFailure *failure);

#ifdef __cplusplus
}
#endif

#endif
